// JSON from a stranger: a parse that is bounded in size and depth, and typed look-up that never
// throws.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace potluck::model {

using Json = nlohmann::json;

inline constexpr int kMaxJsonDepth = 64;

// InvalidArgument for text that is no JSON, nests deeper than
// kMaxJsonDepth, or has a key twice in one object.
absl::StatusOr<Json> ParseBoundedJson(std::string_view text);

// As ParseBoundedJson, and the top must be an object; `where` begins every error.
absl::StatusOr<Json> ParseJsonObject(std::string_view text, const std::string& where);

// As ParseJsonObject; reads at most `max_bytes` of the file, which
// every error names.
absl::StatusOr<Json> ReadJsonObject(const std::string& path, uint64_t max_bytes);

// A member of an object that ParseJsonObject has taken, once more, with all members of objects in
// the order of the text; null where it is missing. For small ones: looking up is slow.
nlohmann::ordered_json OrderedMember(std::string_view text, std::string_view key);

// The value of `key`, or null where it is missing or JSON's null. `object` may be anything.
const Json* FindKey(const Json& object, std::string_view key);

// Nothing where the value is missing or of another kind. Int takes numbers with a fraction of zero.
std::optional<int64_t> IntValue(const Json* value);
std::optional<double> NumberValue(const Json* value);
std::optional<bool> BoolValue(const Json* value);
std::optional<std::string> StringValue(const Json* value);

}  // namespace potluck::model
