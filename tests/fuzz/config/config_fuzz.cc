// Any text as config.json and as generation_config.json.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "model/safetensors/hf_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace model = potluck::model;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto json = model::ParseBoundedJson(text);
  if (!json.ok()) return 0;
  const auto config = model::ConfigFromHf(*json);
  // What passes must be fit to size and to divide by.
  if (config.ok() &&
      (config->num_layers != static_cast<int64_t>(config->layers.size()) ||
       config->num_heads % config->num_kv_heads != 0 || config->rope_dims % 2 != 0)) {
    std::abort();
  }
  static_cast<void>(model::SamplingDefaultsFromHf(*json, *json));
  return 0;
}
