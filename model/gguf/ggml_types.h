// Every tensor type that GGUF files may hold, whether Potluck computes with it or not: a file's
// layout can only be checked where the size of each tensor is known.
// Source: docs/formats.md; type numbers and block sizes are ggml's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace potluck::model {

struct GgmlType {
  uint32_t number;
  std::string_view name;  // as people write it: "q4_0", "iq2_xxs"
  int block_values;
  int block_bytes;
};

// Null for numbers that GGUF doesn't define (removed ones included).
const GgmlType* FindGgmlType(uint32_t number);

// "f32, f16, ...": the types that Potluck computes with, for error messages.
std::string SupportedTypeNames();

}  // namespace potluck::model
