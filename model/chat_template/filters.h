// What follows `|`. One function per filter, in three files by what they work on.
#pragma once

#include <initializer_list>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/chat_template/value.h"

namespace potluck::model::jinja {

bool IsFilterName(std::string_view name);

// `input | name(arguments)`. InvalidArgument: no such filter, wrong arguments, or a value that the
// filter can't work on.
absl::StatusOr<Value> ApplyFilter(Arena& arena, std::string_view name, const Value& input,
                                  const Arguments& arguments);

struct FilterCall {
  Arena& arena;
  std::string_view name;
  const Value& input;
  const Arguments& arguments;

  absl::StatusOr<std::vector<Value>> Take(std::initializer_list<std::string_view> names,
                                          size_t required = 0) const {
    return Bind(name, arguments, names, required);
  }
};

struct FilterEntry {
  std::string_view name;
  absl::StatusOr<Value> (*apply)(const FilterCall&);
};

const std::vector<FilterEntry>& TextFilters();      // text_filters.cc
const std::vector<FilterEntry>& SequenceFilters();  // sequence_filters.cc

}  // namespace potluck::model::jinja
