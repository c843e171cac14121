// Reads a cluster's answers for people: what is missing or of another kind is empty or zero, so
// that an older or a newer coordinator can be asked, too.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace potluck::cli {

inline std::string Text(const nlohmann::ordered_json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

inline double Number(const nlohmann::ordered_json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

inline int64_t Amount(const nlohmann::ordered_json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
}

inline bool Flag(const nlohmann::ordered_json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_boolean() && found->get<bool>();
}

inline const nlohmann::ordered_json& List(const nlohmann::ordered_json& object, const char* key) {
  static const nlohmann::ordered_json none = nlohmann::ordered_json::array();
  const auto found = object.find(key);
  return found != object.end() && found->is_array() ? *found : none;
}

inline const nlohmann::ordered_json& Part(const nlohmann::ordered_json& object, const char* key) {
  static const nlohmann::ordered_json none = nlohmann::ordered_json::object();
  const auto found = object.find(key);
  return found != object.end() && found->is_object() ? *found : none;
}

}  // namespace potluck::cli
