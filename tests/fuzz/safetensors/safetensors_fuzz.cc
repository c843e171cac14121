// Any bytes as a safetensors file. The header's length is put in front, so that the fuzzer works on
// the JSON: the first two bytes of the input say how much of the rest is header.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>

#include "model/safetensors/hf_names.h"
#include "model/safetensors/safetensors_header.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace model = potluck::model;
  static_cast<void>(model::ParseSafetensorsHeader(
      std::as_bytes(std::span(reinterpret_cast<const char*>(data), size))));
  if (size < 2) return 0;
  uint16_t short_length;
  std::memcpy(&short_length, data, sizeof(short_length));
  const uint64_t length = short_length;
  std::string file(sizeof(length), '\0');
  std::memcpy(file.data(), &length, sizeof(length));
  file.append(reinterpret_cast<const char*>(data) + 2, size - 2);
  const auto header = model::ParseSafetensorsHeader(std::as_bytes(std::span(file)));
  if (!header.ok()) return 0;
  for (const model::SafetensorsEntry& entry : header->tensors) {
    if (entry.offset > file.size() || entry.size_bytes > file.size() - entry.offset) std::abort();
    static_cast<void>(model::GgufTensorName(entry.name, "gemma3"));
  }
  return 0;
}
