// A Hugging Face config.json as the config that drives the decoder's builder, and
// generation_config.json as sampling defaults.
// Source: docs/formats.md; the configuration files of transformers for keys and defaults, in the
// form that version 5 writes (rope_parameters) and the older one (rope_theta, rope_scaling).
#pragma once

#include "absl/status/statusor.h"
#include "model/bounded_json.h"
#include "model/config.h"

namespace potluck::model {

// `config` is config.json's value, of whatever kind. Unimplemented, with the supported ones, for a
// model_type that Potluck doesn't run; InvalidArgument, naming the key, for what is missing or
// absurd. `name` is left empty.
absl::StatusOr<ModelConfig> ConfigFromHf(const Json& config);

// `pooling` is the object of 1_Pooling/config.json, as sentence-transformers writes it, or null;
// `config` config.json's, whose model may be made to look ahead, as decoders here do not.
Pooling PoolingFromHf(const Json& pooling, const Json& config);

// `generation` is generation_config.json's object, `config` config.json's; either may be null (a
// missing file). Values out of their range are left out; do_sample false is temperature 0.
SamplingDefaults SamplingDefaultsFromHf(const Json& generation, const Json& config);

}  // namespace potluck::model
