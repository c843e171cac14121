// What the planner knows of a model: its layers in bytes and operations. Nothing else of model/ is
// seen in this folder, and only model_shape.cc includes it.
//
// An operation is a multiplication or an addition: a multiply-add counts as two.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/dtype.h"

namespace potluck::model {
struct ModelConfig;
class WeightSource;
}  // namespace potluck::model

namespace potluck::partition {

// The weights of a part that are stored in one format.
struct WeightWork {
  kernels::DType dtype = kernels::DType::kF32;
  int64_t held_bytes = 0;
  // Of these, the share that one token reads: 1, or experts used / experts there are.
  double touched_share = 1;
  double operations_per_token = 0;
};

struct LayerShape {
  std::vector<WeightWork> weights;
  int64_t window = 0;               // positions that a token sees; 0: all
  int64_t kv_values = 0;            // keys and values of one position: 2 * G * Dh
  double operations_per_visit = 0;  // of one token with one earlier position: 4 * H * Dh
};

struct ModelShape {
  std::string name;
  int64_t model_dim = 0;
  int64_t head_dim = 0;
  int64_t context_length = 0;  // what the model was trained for
  std::vector<LayerShape> layers;
  // Rows of token ids are looked up in it: it is held, hardly read. Part of the first stage.
  WeightWork embedding;
  int64_t embedding_row_bytes = 0;
  // Part of the last stage. With tied embeddings it is the same matrix, held twice only where first
  // and last stage are two.
  WeightWork head;
  bool tied_embeddings = false;
  // A stage's buffers: bytes for each token that a step may have, and in a last stage for each
  // token of a step that a result may be wanted of. Upper bounds of what model/graph lays out.
  int64_t activation_bytes_per_token = 0;
  int64_t activation_bytes_per_output = 0;

  int64_t num_layers() const { return static_cast<int64_t>(layers.size()); }
  int64_t LayerBytes(int64_t layer) const;
};

// From headers alone: no weight is read. Errors as DecoderStage::MemoryFor: a tensor that is
// missing, of a shape other than the config's, or of a type that is not computed with.
absl::StatusOr<ModelShape> MakeModelShape(const std::string& name, const model::ModelConfig& config,
                                          const model::WeightSource& source);

// InvalidArgument for a shape that no model has: no layers or more than kMaxLayers, negative sizes.
// MakeModelShape's results pass.
inline constexpr int64_t kMaxLayers = 512;
absl::Status CheckModelShape(const ModelShape& shape);

}  // namespace potluck::partition
