// Why an answer ended.
#pragma once

#include <cstdint>
#include <string_view>

namespace potluck::model {

enum class FinishReason : uint8_t { kStop, kLength, kCancelled };

constexpr std::string_view ToString(FinishReason reason) {
  switch (reason) {
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kStop:
      break;
  }
  return "stop";
}

}  // namespace potluck::model
