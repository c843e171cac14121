#include "coordinator/api/request_fields.h"

#include <optional>
#include <utility>

#include "common/status_macros.h"
#include "common/text.h"

namespace potluck::coordinator {

absl::Status BadField(std::string_view field, std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(ToAbsl(field), " must be ", ToAbsl(what)));
}

absl::Status ReadBool(const model::Json& body, const char* field, bool& value) {
  const model::Json* json = model::FindKey(body, field);
  if (json == nullptr) return absl::OkStatus();
  const std::optional<bool> got = model::BoolValue(json);
  if (!got.has_value()) return BadField(field, "true or false");
  value = *got;
  return absl::OkStatus();
}

absl::Status ReadText(const model::Json& body, const char* field, std::string& value) {
  const model::Json* json = model::FindKey(body, field);
  if (json == nullptr) return absl::OkStatus();
  std::optional<std::string> got = model::StringValue(json);
  if (!got.has_value()) return BadField(field, "a string");
  value = *std::move(got);
  return absl::OkStatus();
}

absl::Status CheckMembers(const model::Json& json, std::string_view field) {
  if (json.is_object() && json.size() > kMostMembers)
    return BadField(field, absl::StrCat("made of objects with at most ", kMostMembers, " members"));
  if (!json.is_structured()) return absl::OkStatus();
  for (const model::Json& part : json) POTLUCK_RETURN_IF_ERROR(CheckMembers(part, field));
  return absl::OkStatus();
}

absl::Status ReadTexts(const model::Json& body, const char* field, size_t most,
                       std::vector<std::string>& values) {
  const model::Json* json = model::FindKey(body, field);
  if (json == nullptr) return absl::OkStatus();
  const absl::Status bad =
      BadField(field, absl::StrCat("a string, or an array of at most ", most, " strings"));
  values.clear();
  if (auto text = model::StringValue(json)) {
    values.push_back(*std::move(text));
    return absl::OkStatus();
  }
  if (!json->is_array() || json->size() > most) return bad;
  for (const model::Json& entry : *json) {
    auto text = model::StringValue(&entry);
    if (!text.has_value()) return bad;
    values.push_back(*std::move(text));
  }
  return absl::OkStatus();
}

}  // namespace potluck::coordinator
