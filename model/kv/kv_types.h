// The types that keys and values are kept in, as people name them.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "kernels/dtype.h"

namespace potluck::model {

struct KvType {
  std::string_view name;
  kernels::DType dtype;
};

inline constexpr std::array<KvType, 3> kKvTypes = {
    {{"f16", kernels::DType::kF16}, {"f32", kernels::DType::kF32}, {"q8", kernels::DType::kQ8_0}}};

constexpr std::optional<kernels::DType> KvTypeNamed(std::string_view name) {
  for (const KvType& type : kKvTypes) {
    if (type.name == name) return type.dtype;
  }
  return std::nullopt;
}

}  // namespace potluck::model
