// What a GGUF file says besides weights and shape: its vocabulary, its chat template, and how its
// makers would sample. All of it stands in the metadata, so files without tensors have it, too.
// Source: docs/formats.md.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "model/config.h"
#include "model/gguf/gguf_file.h"
#include "model/tokenizer/vocabulary.h"

namespace potluck::model {

// InvalidArgument, naming the key, for lists of different lengths, an empty vocabulary, scores that
// are no numbers, ids beyond the vocabulary. Unimplemented for other kinds than "llama" and "gpt2".
absl::StatusOr<Vocabulary> VocabularyFromGguf(const GgufFile& file);

// The default template; nothing where the file has none.
std::optional<std::string> ChatTemplateFromGguf(const GgufFile& file);

// From `general.sampling.*`; values out of their range are left out. `end_tokens` holds the ids of
// the vocabulary's end-of-sequence, end-of-turn and end-of-message tokens.
SamplingDefaults SamplingDefaultsFromGguf(const GgufFile& file);

}  // namespace potluck::model
