// The rotary embedding's part of config.json, whose keys have moved more often than any other's.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/architectures.h"
#include "model/bounded_json.h"
#include "model/config.h"

namespace potluck::model {

// Typed fields of a JSON object, for config.json. A missing or null field has the fallback, or is
// an error without one; a field of another kind is an error. Errors name the key. Borrows the
// object.
class JsonFields {
 public:
  explicit JsonFields(const Json& object) : object_(object) {}

  bool Has(std::string_view key) const { return object_.contains(key); }  // null counts
  const Json* Find(std::string_view key) const { return FindKey(object_, key); }
  absl::StatusOr<int64_t> Int(std::string_view key,
                              std::optional<int64_t> fallback = std::nullopt) const;
  absl::StatusOr<double> Number(std::string_view key,
                                std::optional<double> fallback = std::nullopt) const;
  absl::StatusOr<bool> Bool(std::string_view key, bool fallback) const;
  absl::StatusOr<std::string> String(std::string_view key, std::string_view fallback) const;

 private:
  const Json& object_;
};

// Fills rope_style, rope_dims, rope_scaling and the layers' rope_theta and scale_rope; head_dim,
// context_length and the layers' attention kinds are set already.
absl::Status ReadHfRope(const JsonFields& fields, const ArchitectureTraits& traits,
                        ModelConfig& config);

}  // namespace potluck::model
