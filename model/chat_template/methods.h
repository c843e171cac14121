// What stands behind a dot or in brackets: items, and the methods of strings, dicts and loops.
// Methods that change a list or dict are refused, as in the sandbox that Hugging Face uses.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "model/chat_template/value.h"

namespace potluck::model::jinja {

// object.name: a method, else the item of that name, else undefined. InvalidArgument: the object
// itself is undefined.
absl::StatusOr<Value> GetAttribute(Arena& arena, const Value& object, const std::string& name);

// object[key]: an item, else (for a string key) the method of that name, else undefined.
absl::StatusOr<Value> Subscript(Arena& arena, const Value& object, const Value& key);

absl::StatusOr<Value> CallMethod(Arena& arena, const Value& self, std::string_view name,
                                 const Arguments& arguments);

// The string methods of CallMethod, in string_methods.cc.
bool IsStringMethod(std::string_view name);
absl::StatusOr<Value> CallStringMethod(Arena& arena, const Text& self, std::string_view name,
                                       const Arguments& arguments);
// text.replace(from, to, count); a negative count is all of them.
Text Replace(Arena& arena, const Text& text, const Text& from, const Text& to, int64_t count);

}  // namespace potluck::model::jinja
