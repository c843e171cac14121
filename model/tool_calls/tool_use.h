// The tools that an answer may call, and whether it must: plain data.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace potluck::model {

struct Tool {
  std::string name;                   // of letters, digits, '_', '-' and '.'
  std::string description;            // perhaps empty
  nlohmann::ordered_json parameters;  // JSON Schema of the arguments, an object
  // Its arguments keep to the schema; otherwise to as much as is enforced here: where that is not
  // the whole schema, they are any object.
  bool strict = false;
};

struct ToolUse {
  enum class Choice { kNone, kAuto, kRequired };

  std::vector<Tool> tools;
  Choice choice = Choice::kNone;
  std::string only;      // kRequired: this one; empty: whichever
  bool parallel = true;  // several calls in one answer, where the model's format knows that

  bool may_call() const { return choice != Choice::kNone && !tools.empty(); }
};

}  // namespace potluck::model
