#include "model/bounded_json.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace potluck::model {
namespace {

using ::testing::HasSubstr;

std::string Nested(int depth) { return std::string(depth, '[') + std::string(depth, ']'); }

void ExpectError(std::string_view text, const std::string& message) {
  const auto json = ParseBoundedJson(text);
  ASSERT_FALSE(json.ok()) << text;
  EXPECT_EQ(json.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(json.status().message()), HasSubstr(message)) << text;
}

TEST(BoundedJson, WhatIsNoJson) {
  for (const char* text : {"{} {}", "\"\xff\"", "nul"}) ExpectError(text, "not valid JSON");
  ExpectError("", "empty");
  ExpectError("}", "at line 1, column 1");
  ExpectError("{", "at line 1, column 2, its end");
  ExpectError("{\"a\": 1,\n \"b\": }", "at line 2, column 7");
  ExpectError("{\n\n", "at line 3, column 1, its end");
  EXPECT_TRUE(ParseBoundedJson(" 7 ").ok());
}

TEST(BoundedJson, DepthIsBoundedBeforeTheParse) {
  EXPECT_TRUE(ParseBoundedJson(Nested(kMaxJsonDepth)).ok());
  ExpectError(Nested(kMaxJsonDepth + 1), "deeper than 64");
  ExpectError(std::string(8'000'000, '['), "deeper than 64");
  // Brackets within strings nest nothing.
  EXPECT_TRUE(ParseBoundedJson("\"\\\"" + std::string(1000, '[') + "\"").ok());
}

TEST(BoundedJson, AKeyStandsOnceInAnObject) {
  ExpectError(R"({"a": 1, "b": {"c": 1, "c": 2}})", "\"c\" twice");
  EXPECT_TRUE(ParseBoundedJson(R"({"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]})").ok());
}

TEST(BoundedJson, LookUpsTakeAnything) {
  const Json json = Json::parse(R"({"null": null, "int": 7, "whole": 7.0, "half": 7.5,
      "huge": 1e300, "unsigned": 18446744073709551615, "text": "7", "yes": true})");
  EXPECT_EQ(FindKey(json, "null"), nullptr);
  EXPECT_EQ(FindKey(json, "none"), nullptr);
  EXPECT_EQ(FindKey(Json(7), "int"), nullptr);
  const auto integer = [&](const char* key) { return IntValue(FindKey(json, key)); };
  EXPECT_EQ(integer("int"), 7);
  EXPECT_EQ(integer("whole"), 7);
  for (const char* key : {"half", "huge", "unsigned", "text", "yes", "none"}) {
    EXPECT_EQ(integer(key), std::nullopt) << key;
  }
  EXPECT_EQ(NumberValue(FindKey(json, "half")), 7.5);
  EXPECT_EQ(NumberValue(FindKey(json, "yes")), std::nullopt);
  EXPECT_EQ(BoolValue(FindKey(json, "yes")), true);
  EXPECT_EQ(BoolValue(FindKey(json, "int")), std::nullopt);
  EXPECT_EQ(StringValue(FindKey(json, "text")), "7");
  EXPECT_EQ(StringValue(FindKey(json, "int")), std::nullopt);
}

}  // namespace
}  // namespace potluck::model
