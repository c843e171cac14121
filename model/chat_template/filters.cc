#include "model/chat_template/filters.h"

namespace potluck::model::jinja {
namespace {

const FilterEntry* FindFilter(std::string_view name) {
  for (const auto* list : {&TextFilters(), &SequenceFilters()}) {
    for (const FilterEntry& entry : *list) {
      if (entry.name == name) return &entry;
    }
  }
  return nullptr;
}

}  // namespace

bool IsFilterName(std::string_view name) { return FindFilter(name) != nullptr; }

absl::StatusOr<Value> ApplyFilter(Arena& arena, std::string_view name, const Value& input,
                                  const Arguments& arguments) {
  const FilterEntry* filter = FindFilter(name);
  if (filter == nullptr) return Fail("there is no filter '", Printable(name, 40), "'");
  return filter->apply({arena, name, input, arguments});
}

}  // namespace potluck::model::jinja
