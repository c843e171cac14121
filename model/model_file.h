// A model on disk, whichever kind of file it is: the one entry for the commands.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/config.h"
#include "model/gguf/gguf_file.h"
#include "model/safetensors/safetensors_folder.h"
#include "model/tokenizer/vocabulary.h"
#include "model/weights.h"

namespace potluck::model {

// A line of `inspect`: values are printable and short.
struct MetadataLine {
  std::string key, value;
};

// A tensor as the file stores it, under the file's own name.
struct TensorLine {
  std::string name;
  std::string type;            // "q4_k", "bf16", ...
  std::vector<int64_t> shape;  // slowest dimension first
  uint64_t size_bytes = 0;
  std::string file;
};

// Exactly one of `gguf` and `folder` is set. Cheap to copy.
struct ModelFile {
  std::string
      path;  // what was opened: the .gguf file (the first part of a split one) or the folder
  std::string name;    // for people and APIs: the last part of the path, without .gguf and
                       // -00001-of-0000N
  std::string format;  // "GGUF v3" or "safetensors"
  std::shared_ptr<const GgufFile> gguf;
  std::shared_ptr<const SafetensorsFolder> folder;
  std::shared_ptr<const WeightSource> weights;  // never null; may be empty
  // An error where Potluck doesn't run the model; vocabulary, template and listings are there all
  // the same.
  absl::StatusOr<ModelConfig> config = absl::UnknownError("not opened");
  std::optional<std::string> chat_template;
  SamplingDefaults sampling_defaults;
  int num_files = 0;          // of weights
  uint64_t tensor_bytes = 0;  // of all tensors, as stored
};

// `path` is a .gguf file, any part of a split one, a Hugging Face folder, or a folder with exactly
// one GGUF model in it. NotFound, PermissionDenied or InvalidArgument in one line that says what is
// wrong with which file, or what to choose from.
absl::StatusOr<ModelFile> OpenModelFile(const std::string& path);

// The same without the weights: from the headers of the model's GGUF files, in order, or from the
// documents of its folder (kFolderDocuments). `name` is its name, and stands for a path in errors.
// The model has no weights of its own, `path` leads nowhere, and config and vocabulary are checked
// as a file's are.
absl::StatusOr<ModelFile> ModelFileFromHeaders(const std::string& name,
                                               std::vector<std::string> headers);
absl::StatusOr<ModelFile> ModelFileFromDocuments(const std::string& name,
                                                 std::map<std::string, std::string> documents);

// Says which file is at fault, where the file is and the message does not.
absl::Status InFile(const absl::Status& status, const std::string& path);

// From the GGUF metadata or from the folder's tokenizer.json.
absl::StatusOr<Vocabulary> ReadVocabulary(const ModelFile& model);

// In the file's order: GGUF metadata, or the keys of config.json ("rope_parameters.rope_theta").
std::vector<MetadataLine> ListMetadata(const ModelFile& model);
std::vector<TensorLine> ListTensors(const ModelFile& model);

}  // namespace potluck::model
