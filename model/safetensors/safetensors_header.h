// The header of one safetensors file: JSON that names the tensors and their bytes, every number
// checked against the bytes that are there.
// Source: docs/formats.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace potluck::model {

inline constexpr uint64_t kMaxSafetensorsHeaderBytes = uint64_t{32} << 20;

struct SafetensorsEntry {
  std::string name;
  std::string_view dtype;      // as the format writes it: "F32", "BF16", "F8_E4M3"
  std::vector<int64_t> shape;  // empty: a single value; a size may be 0
  uint64_t offset;             // of the first byte, from the start of the file
  uint64_t size_bytes;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> tensors;                      // in the order of their bytes
  std::vector<std::pair<std::string, std::string>> metadata;  // `__metadata__`
};

// `file` is the whole file. InvalidArgument says what is wrong and with which tensor.
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(std::span<const std::byte> file);

}  // namespace potluck::model
