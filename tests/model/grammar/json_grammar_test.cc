#include "model/grammar/json_grammar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/model/grammar/grammar_texts.h"

namespace potluck::model {
namespace {

using ::testing::HasSubstr;

GrammarAutomaton SchemaAutomaton(std::string_view schema) {
  const auto gbnf = SchemaGrammar(nlohmann::ordered_json::parse(schema));
  EXPECT_TRUE(gbnf.ok()) << gbnf.status();
  return AutomatonOf(gbnf.value_or("root ::= []"));
}

void Expect(std::string_view schema, const std::vector<std::string>& good,
            const std::vector<std::string>& bad) {
  GrammarAutomaton automaton = SchemaAutomaton(schema);
  for (const std::string& text : good) EXPECT_TRUE(Matches(automaton, text)) << schema << text;
  for (const std::string& text : bad) EXPECT_FALSE(Matches(automaton, text)) << schema << text;
}

std::string ErrorOf(std::string_view schema) {
  return std::string(SchemaGrammar(nlohmann::ordered_json::parse(schema)).status().message());
}

TEST(JsonGrammar, AnyObject) {
  GrammarAutomaton object = SchemaAutomaton(R"({"type": "object"})");
  EXPECT_TRUE(Matches(object, "{}"));
  EXPECT_TRUE(Matches(object, R"({"a": [1, -2.5e+10, "x\"\u00e4"], "b": {"c": null, "d": true}})"));
  EXPECT_FALSE(Matches(object, "[]"));
  EXPECT_FALSE(Matches(object, R"({"a":1})"));  // white space is canonical
  EXPECT_FALSE(Matches(object, "{\"a\": \"\n\"}"));
  EXPECT_FALSE(Matches(object, "{\"a\": 01}"));
  EXPECT_FALSE(Matches(object, "{\"a\": 12345678901234567}"));
}

TEST(JsonGrammar, TypesEnumsAndConstants) {
  Expect(R"({"type": "integer"})", {"0", "-12"}, {"1.5", "-", "\"1\""});
  Expect(R"({"type": "number"})", {"0", "-1.5e3"}, {"1.", ".5", "+1"});
  Expect(R"({"type": ["string", "null"]})", {"\"\"", "null"}, {"1"});
  Expect(R"({"enum": ["red", 5, {"a": [1, 2]}, null, "q\"\\\n"]})",
         {"\"red\"", "5", R"({"a": [1, 2]})", "null", R"("q\"\\\n")"}, {"red", "\"blue\""});
  Expect(R"({"const": "yes"})", {"\"yes\""}, {"\"no\""});
  Expect("true", {"1", "[]"}, {""});
  Expect("{}", {"{}", "\"x\""}, {"x"});
}

TEST(JsonGrammar, ObjectsHaveTheirMembersInOrder) {
  constexpr char kPerson[] = R"({"type": "object", "properties": {
      "name": {"type": "string"}, "age": {"type": "integer"}, "tags": {"type": "array", "items": {"type": "string"}}},
      "required": ["name"]})";
  Expect(kPerson,
         {R"({"name": "A"})", R"({"name": "A", "age": 3})", R"({"name": "A", "tags": ["x", "y"]})",
          R"({"name": "A", "age": 3, "tags": []})"},
         {"{}", R"({"age": 3})", R"({"name": "A", "other": 1})", R"({"age": 3, "name": "A"})",
          R"({"name": "A", })"});
  Expect(R"({"properties": {"a": true, "b": true}})",
         {"{}", R"({"a": 1})", R"({"b": 1})", R"({"a": 1, "b": 2})"}, {R"({, "b": 1})"});
  Expect(R"({"type": "object", "additionalProperties": {"type": "integer"}})",
         {"{}", R"({"x": 1, "y": 2})"}, {R"({"x": "1"})"});
  Expect(R"({"type": "object", "required": ["a"]})", {R"({"a": 1})", R"({"a": 1, "b": 2})"},
         {"{}", R"({"b": 1})"});
}

TEST(JsonGrammar, OtherMembersHaveOtherNames) {
  Expect(
      R"({"properties": {"ab": {"type": "integer"}, "a-]": {"type": "null"}, "ä": {"type": "null"}},
             "additionalProperties": {"type": "string"}})",
      {R"({"ab": 1, "x": "y"})", R"({"a": "x"})", R"({"abc": "x", "ac": "x"})", R"({"": "x"})",
       R"({"ä": null, "ö": "x"})", R"({"a-": "x"})"},
      {R"({"ab": "x"})", R"({"ä": "x"})", R"({"a-]": "x"})", R"({"\u0061b": "x"})"});
}

TEST(JsonGrammar, BoundsOfLengthsAndCounts) {
  Expect(R"({"type": "string", "minLength": 2, "maxLength": 3})",
         {"\"ab\"", R"("a\n\"")", "\"äöü\""}, {"\"a\"", "\"abcd\""});
  Expect(R"({"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3})",
         {"[1, 2]", "[1, 2, 3]"}, {"[1]", "[1, 2, 3, 4]", "[]"});
  Expect(R"({"type": "array", "items": {"type": "integer"}, "maxItems": 1})", {"[]", "[1]"},
         {"[1, 2]"});
  Expect(R"({"type": "array", "maxItems": 0})", {"[]"}, {"[1]"});
  Expect(R"({"prefixItems": [{"type": "integer"}, {"type": "string"}]})", {"[1, \"a\"]"},
         {"[1]", "[1, \"a\", 2]"});
}

// Every number of some hundred, against every bound of some.
TEST(JsonGrammar, BoundsOfNumbersAreKept) {
  const std::vector<int> bounds = {-1203, -100, -99, -7, -1, 0, 1, 9, 10, 42, 100, 999, 1203};
  for (const int low : bounds) {
    for (const int high : bounds) {
      for (const bool open : {false, true}) {
        const std::string schema =
            absl::StrCat(R"("minimum": )", low,
                         open ? R"(, "exclusiveMaximum": )" : R"(, "maximum": )", high, "}");
        if (low > high || (open && low == high)) {
          EXPECT_THAT(ErrorOf(R"({"type": "integer", )" + schema), HasSubstr("no number"));
          continue;
        }
        GrammarAutomaton integer = SchemaAutomaton(R"({"type": "integer", )" + schema);
        GrammarAutomaton number = SchemaAutomaton(R"({"type": "number", )" + schema);
        for (int value = -1300; value <= 1300; value += 1 + (value % 3 + 3) % 3) {
          const bool inside = low <= value && (open ? value < high : value <= high);
          const std::string text = absl::StrCat(value);
          ASSERT_EQ(Matches(integer, text), inside) << schema << text;
          ASSERT_EQ(Matches(number, text), inside) << schema << text;
          // Further from zero by a half.
          const double half = value < 0 ? value - 0.5 : value + 0.5;
          ASSERT_EQ(Matches(number, text + ".5"), low <= half && half < high + (open ? 0 : 1e-9))
              << schema << text;
        }
      }
    }
  }
  Expect(R"({"type": "integer", "minimum": 5})", {"5", "10", "9999999999999999"},
         {"4", "-5", "05"});
  Expect(R"({"type": "integer", "exclusiveMaximum": 0})", {"-1", "-20"}, {"0", "1", "-0"});
  Expect(R"({"type": "number", "minimum": 0, "maximum": 1})", {"0", "0.5", "1", "1.0"},
         {"1.01", "-0.1", "2", "-0"});
  Expect(R"({"type": "number", "exclusiveMinimum": 0})", {"0.5", "3"}, {"0", "0.0", "-1"});
}

TEST(JsonGrammar, Alternatives) {
  Expect(R"({"anyOf": [{"type": "integer"}, {"type": "null"}], "description": "x"})", {"1", "null"},
         {"\"a\""});
  Expect(R"({"type": "object", "properties": {"k": {"type": "integer"}}, "required": ["k"],
             "oneOf": [{"properties": {"a": {"const": 1}}, "required": ["a"]}, {"properties": {"b": {"const": 2}}}]})",
         {R"({"k": 1, "a": 1})", R"({"k": 1})", R"({"k": 1, "b": 2})"}, {R"({"a": 1})"});
  Expect(
      R"({"allOf": [{"$ref": "#/$defs/a"}, {"properties": {"y": {"type": "null"}}, "required": ["y"]}],
             "$defs": {"a": {"type": "object", "properties": {"x": {"type": "null"}}, "required": ["x"]}}})",
      {R"({"x": null, "y": null})"}, {R"({"x": null})", R"({"y": null})"});
}

TEST(JsonGrammar, ReferencesMayRecur) {
  Expect(R"({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {
             "value": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
             "required": ["value", "next"]}}})",
         {R"({"value": 1, "next": null})", R"({"value": 1, "next": {"value": 2, "next": null}})"},
         {R"({"value": 1})"});
  Expect(
      R"({"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}})",
      {R"({"children": [{}, {"children": []}]})"}, {R"({"children": [1]})"});
}

TEST(JsonGrammar, Formats) {
  Expect(R"({"type": "string", "format": "date-time"})", {"\"2026-11-22T13:40:28Z\""}, {"\"now\""});
  Expect(R"({"type": "string", "format": "date"})", {"\"2026-11-22\""}, {"\"2026-13-22\""});
  Expect(R"({"type": "string", "format": "uuid"})", {"\"123e4567-e89b-12d3-a456-426614174000\""},
         {"\"123\""});
  Expect(R"({"type": "string", "format": "color"})", {"\"anything\""}, {});
}

TEST(JsonGrammar, Patterns) {
  Expect(R"({"type": "string", "pattern": "^[A-Z]{2}-\\d{3,4}$"})", {"\"AB-123\"", "\"AB-1234\""},
         {"\"AB-12\"", "\"xAB-123\"", "\"AB-12345\""});
  // Found anywhere, unless it says where.
  Expect(R"({"pattern": "b+"})", {"\"b\"", "\"abbc\"", R"("\u0041b")"}, {"\"\"", "\"ac\""});
  Expect(R"({"pattern": "^a|c$"})", {"\"ax\"", "\"xc\""}, {"\"xax\"", "\"cx\""});
  Expect(R"({"pattern": "^(?:x|yz)*?(\\.|[^\\w-])$"})", {"\".\"", "\"xyzx!\"", "\"x.\""},
         {"\"x\"", "\"x-\"", "\"x_\""});
  // As JSON spells them.
  Expect(R"({"pattern": "^[\"\\\\\\n\\t\\x01a]+$"})", {R"("\"")", R"("a\\\n\t\u0001")"},
         {R"("\r")", "\"\"", "\"\n\""});
  Expect(R"({"pattern": "^\\u00e4[ö-ü]$"})", {"\"äö\""}, {"\"aö\""});
  Expect(R"({"pattern": "^.$"})", {"\"ä\"", R"("\"")"}, {R"("\n")", "\"ab\""});
  Expect(R"({"pattern": "^$"})", {"\"\""}, {"\"a\""});
  for (const char* unknown :
       {"(?=a)", "(?!a)", "(?<n>a)", "a\\\\b", "(a)\\\\1", "\\\\p{L}", "(^a)", "(a$)", "a^"})
    EXPECT_THAT(ErrorOf(absl::StrCat(R"({"pattern": ")", unknown, "\"}")),
                HasSubstr("cannot be enforced"))
        << unknown;
  for (const char* wrong : {"(a", "[a", "*", "a{", "a{x}", "[b-a]", "\\\\", "\\\\x1"})
    EXPECT_THAT(ErrorOf(absl::StrCat(R"({"pattern": ")", wrong, "\"}")), HasSubstr("pattern \""))
        << wrong;
  EXPECT_THAT(ErrorOf(R"({"pattern": "a)b"})"), HasSubstr("cannot be enforced"));
  EXPECT_THAT(ErrorOf(R"({"pattern": "a", "maxLength": 3})"), HasSubstr("lengths beside"));
}

TEST(JsonGrammar, RefusesWhatItCannotHold) {
  EXPECT_THAT(ErrorOf(R"({"properties": {"a": {"not": {}}}})"),
              HasSubstr("#/properties/a: \"not\""));
  EXPECT_THAT(ErrorOf(R"({"type": "array", "uniqueItems": true})"), HasSubstr("uniqueItems"));
  EXPECT_THAT(ErrorOf(R"({"type": "colour"})"), HasSubstr("\"colour\" is no type"));
  EXPECT_THAT(ErrorOf(R"({"type": 5})"), HasSubstr("type is a string"));
  EXPECT_THAT(ErrorOf("5"), HasSubstr("an object or a boolean"));
  EXPECT_THAT(ErrorOf(R"({"$ref": "#/nowhere"})"), HasSubstr("leads to nothing"));
  EXPECT_THAT(ErrorOf(R"({"$ref": "http://example.com/x"})"), HasSubstr("leads to nothing"));
  EXPECT_THAT(ErrorOf(R"({"enum": []})"), HasSubstr("enum is an array"));
  EXPECT_THAT(ErrorOf(R"({"properties": {"a": true}, "required": ["b"]})"),
              HasSubstr("not one of"));
  EXPECT_THAT(ErrorOf(R"({"type": "string", "minLength": 3, "maxLength": 2})"),
              HasSubstr("is below"));
  EXPECT_THAT(ErrorOf(R"({"type": "string", "maxLength": 1e9})"), HasSubstr("whole number"));
  EXPECT_THAT(ErrorOf(R"({"type": "number", "minimum": 0.5})"), HasSubstr("whole number"));
  EXPECT_THAT(ErrorOf(R"({"allOf": [{"type": "string"}, {"type": "null"}]})"),
              HasSubstr("two meanings"));
}

TEST(JsonGrammar, HostileSchemasEnd) {
  std::string deep = "{}";
  for (int i = 0; i < 60; ++i) deep = R"({"type": "array", "items": )" + deep + "}";
  const auto nested = SchemaGrammar(nlohmann::ordered_json::parse(deep));
  ASSERT_TRUE(nested.ok());
  EXPECT_LT(nested->size(), 10000);
  // Each level twice in what it comes to.
  std::string doubling = "{}";
  for (int i = 0; i < 15; ++i)
    doubling = R"({"properties": {"x": )" + doubling + R"(}, "anyOf": [{"required": ["x"]}, {}]})";
  EXPECT_THAT(ErrorOf(doubling), HasSubstr("too "));
  const auto circle = SchemaGrammar(nlohmann::ordered_json::parse(R"({"$ref": "#"})"));
  ASSERT_TRUE(circle.ok());
  EXPECT_FALSE(ParseGbnf(*circle).ok());
}

}  // namespace
}  // namespace potluck::model
