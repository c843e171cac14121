// JSON Schema (https://json-schema.org, drafts 7 to 2020-12) to GBNF: the parts that people use to
// say how an answer has to look.
//
// White space is canonical: one space after each comma and colon, none elsewhere. Numbers have at
// most 16 digits before and after the point. So no answer goes on for ever between two values.
// Members come in the order in which `properties` names them; where there is such a list, others
// come only if `additionalProperties` says so.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace potluck::model {

// The text as GBNF has it, between quotes.
std::string GbnfLiteral(std::string_view text);

// The text of a value as these grammars have it.
std::string CanonicalJson(const nlohmann::ordered_json& value);

// Rules for the values of several schemas, and what else a grammar has beside them.
class SchemaRules {
 public:
  SchemaRules();
  ~SchemaRules();
  SchemaRules(const SchemaRules&) = delete;
  SchemaRules& operator=(const SchemaRules&) = delete;

  // An expression for the values, fit to stand in a sequence. Errors are SchemaGrammar's; then
  // nothing is added.
  absl::StatusOr<std::string> Add(const nlohmann::ordered_json& schema);
  // A rule that schemas know nothing of. Names that are "r" and a number are theirs, and so are
  // those of JSON's parts ("object", "string", ...).
  void AddRule(std::string name, std::string body);
  // GBNF of all rules; `root`: an expression over them.
  std::string Grammar(std::string_view root) const;

 private:
  class Converter;
  std::unique_ptr<Converter> converter_;
};

// Of the texts of values that keep to the schema. Known are type, enum, const, properties,
// required, additionalProperties, items, prefixItems, minItems, maxItems, minLength, maxLength,
// pattern (pattern_grammar.h), format (date, time, date-time, uuid), minimum, maximum,
// exclusiveMinimum, exclusiveMaximum, anyOf, oneOf (taken as anyOf), allOf, and $ref into the
// schema itself. InvalidArgument, with the place, for what contradicts itself, and for keywords
// that would restrict more than is enforced here.
absl::StatusOr<std::string> SchemaGrammar(const nlohmann::ordered_json& schema);
absl::StatusOr<std::string> SchemaTextGrammar(std::string_view text);

}  // namespace potluck::model
