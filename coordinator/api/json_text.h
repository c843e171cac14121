// JSON as text that is safe to send.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace potluck::coordinator {

// Text that is not UTF-8 is written with U+FFFD in its place.
inline std::string Dump(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace potluck::coordinator
