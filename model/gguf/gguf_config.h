// A GGUF file's metadata as the config that drives the decoder's builder.
// Source: docs/formats.md; key names and defaults are llama.cpp's.
#pragma once

#include "absl/status/statusor.h"
#include "model/config.h"
#include "model/gguf/gguf_file.h"

namespace potluck::model {

// Uses the metadata and the tensors' names and shapes, never their bytes. llama-3.1's and
// longrope's factors stay tensors (rope_freqs.weight, rope_factors_short.weight,
// rope_factors_long.weight). Where llama.cpp differs from Hugging Face's reference, this follows
// the reference: a sliding window that a llama or phi3 file names is kept.
//
// Unimplemented, with the supported ones, for an architecture that Potluck doesn't run;
// InvalidArgument or NotFound, naming the key, for what is missing or absurd.
absl::StatusOr<ModelConfig> ConfigFromGguf(const GgufFile& file);

}  // namespace potluck::model
