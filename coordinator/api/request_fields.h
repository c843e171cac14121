// Fields of a request's JSON: one that is missing or null leaves its value as it was, one of
// another kind is InvalidArgument, naming it and what it may be.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "model/bounded_json.h"

namespace potluck::coordinator {

absl::Status BadField(std::string_view field, std::string_view what);
absl::Status ReadBool(const model::Json& body, const char* field, bool& value);
absl::Status ReadText(const model::Json& body, const char* field, std::string& value);
// That no object in it has more than kMostMembers: what keeps their order takes time by the square
// of their number.
inline constexpr size_t kMostMembers = 512;
absl::Status CheckMembers(const model::Json& json, std::string_view field);
// One string, or an array of at most `most`.
absl::Status ReadTexts(const model::Json& body, const char* field, size_t most,
                       std::vector<std::string>& values);

// `value`: any integer that holds both bounds, or a std::optional of one.
template <typename T>
absl::Status ReadInt(const model::Json& body, const char* field, int64_t least, int64_t most,
                     T& value) {
  const model::Json* json = model::FindKey(body, field);
  if (json == nullptr) return absl::OkStatus();
  const auto number = model::IntValue(json);
  if (!number.has_value() || *number < least || *number > most)
    return BadField(field, absl::StrCat("a whole number from ", least, " to ", most));
  value = static_cast<T>(*number);
  return absl::OkStatus();
}

}  // namespace potluck::coordinator
