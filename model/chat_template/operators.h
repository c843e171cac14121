// Python's operators over Values. Errors are what Python raises TypeError and the like for, without
// the line (the evaluator knows it).
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/chat_template/value.h"

namespace potluck::model::jinja {

bool IsTrue(const Value& value);
bool Equal(const Value& a, const Value& b);

// Below, at or above zero as a is before, equal to or after b. InvalidArgument where Python's <
// can't compare the two.
absl::StatusOr<int> Compare(const Value& a, const Value& b);

// `op` is one of + - * / // % ** ~
absl::StatusOr<Value> Calculate(Arena& arena, std::string_view op, const Value& a, const Value& b);
absl::StatusOr<bool> Contains(Arena& arena, const Value& item, const Value& container);

// a[b] without a fallback; kUndefined where there is no such item.
absl::StatusOr<Value> GetItem(Arena& arena, const Value& a, const Value& b);
absl::StatusOr<Value> GetSlice(Arena& arena, const Value& a, const Value& begin, const Value& end,
                               const Value& step);

// What a for loop over `value` goes through. Drains a generator.
absl::StatusOr<std::vector<Value>> Iterate(Arena& arena, const Value& value);

// len(value), or nothing where it has none.
std::optional<int64_t> Length(const Value& value);

}  // namespace potluck::model::jinja
