// Vocabularies that nobody meant to write: cut off, of other types than they should be, doubled.
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/tokenizer_json.h"
#include "nlohmann/json.hpp"

namespace potluck::model {
namespace {

using Json = nlohmann::json;

// One of every part that is read.
Json Whole() {
  return Json::parse(R"({
    "added_tokens": [{"id": 6, "content": "<s>", "special": true, "lstrip": false, "rstrip": true,
                      "single_word": false, "normalized": false},
                     {"id": 7, "content": "<t>", "special": false}],
    "normalizer": {"type": "Sequence", "normalizers": [
      {"type": "NFC"}, {"type": "Prepend", "prepend": "_"},
      {"type": "Replace", "pattern": {"String": "__"}, "content": "_"}]},
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
      {"type": "Split", "pattern": {"Regex": "a+|b"}, "behavior": "Isolated", "invert": false},
      {"type": "Digits", "individual_digits": true},
      {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true}]},
    "post_processor": {"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A"}}],
      "special_tokens": {"<s>": {"id": "<s>", "ids": [6], "tokens": ["<s>"]}}},
    "model": {"type": "BPE", "dropout": null, "unk_token": "<u>", "fuse_unk": true,
      "byte_fallback": true, "ignore_merges": false,
      "vocab": {"a": 0, "b": 1, "ab": 2, "▁": 3, "<0x0A>": 4, "<u>": 5},
      "merges": [["a", "b"]]}})");
}

// True where the file passed; then it must encode and decode.
bool Passes(const std::string& json, const std::string& config = "") {
  auto vocabulary = VocabularyFromTokenizerJson(json, config);
  absl::Status status = vocabulary.status();
  if (status.ok()) {
    auto tokenizer = Tokenizer::Create(*std::move(vocabulary));
    status = tokenizer.status();
    if (status.ok()) {
      for (const char* text : {"", "ab <s>\n12<t> _", "\xff\u4f60"}) {
        const auto ids = (*tokenizer)->Encode(text, {.parse_control = true});
        if (ids.ok()) (*tokenizer)->Decode(*ids);
      }
      return true;
    }
  }
  EXPECT_FALSE(status.message().empty());
  EXPECT_EQ(status.message().find('\n'), absl::string_view::npos) << status;
  return false;
}

TEST(HostileVocabularies, TheWholeFilePasses) { EXPECT_TRUE(Passes(Whole().dump())); }

TEST(HostileVocabularies, EveryCutIsAnError) {
  const std::string whole = Whole().dump();
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(Passes(whole.substr(0, size))) << size;
  }
}

// Each value in turn becomes one of another type, or absurd: an error, or a vocabulary that works.
TEST(HostileVocabularies, NoValueIsTakenForAnotherType) {
  const Json whole = Whole();
  const Json others[] = {nullptr,
                         true,
                         -1,
                         1e300,
                         9007199254740993,
                         4294967296,
                         "",
                         "x",
                         std::string(5000, 'a'),
                         Json::array(),
                         Json::object(),
                         Json::array({Json::array(), 7}),
                         Json{{"type", 3}},
                         Json{{"type", "Sequence"}}};
  std::vector<Json::json_pointer> places = {Json::json_pointer("")};
  size_t passed = 0, refused = 0;
  for (size_t i = 0; i < places.size(); ++i) {
    const Json& value = whole[places[i]];
    for (const auto& [key, child] : value.items()) {
      if (value.is_primitive()) break;
      places.push_back(value.is_array() ? places[i] / std::stoul(key) : places[i] / key);
    }
    for (const Json& other : others) {
      Json json = whole;
      json[places[i]] = other;
      SCOPED_TRACE(places[i].to_string());
      Passes(json.dump()) ? ++passed : ++refused;
    }
  }
  EXPECT_GT(places.size(), 60u);
  EXPECT_GT(refused, 200u);
  EXPECT_GT(passed, 0u);
}

TEST(HostileVocabularies, AConfigurationOfOtherTypesNamesNothing) {
  const std::string whole = Whole().dump();
  for (const char* config :
       {"[]", "7", R"({"bos_token": 7})", R"({"bos_token": {"content": []}})",
        R"({"bos_token": "no such token", "add_bos_token": true})", R"({"add_bos_token": "yes"})",
        R"({"eos_token": ["<s>"], "add_eos_token": 1})"}) {
    SCOPED_TRACE(config);
    EXPECT_TRUE(Passes(whole, config));
    const auto vocabulary = VocabularyFromTokenizerJson(whole, config);
    ASSERT_TRUE(vocabulary.ok());
    EXPECT_FALSE(vocabulary->eos.has_value());
    EXPECT_EQ(vocabulary->steps->before_text, std::vector<TokenId>{6});
  }
}

TEST(HostileVocabularies, OfTwoTokensSpelledAlikeTheFirstIsMade) {
  Vocabulary vocabulary;
  vocabulary.kind = TokenizerKind::kSentencePieceBpe;
  vocabulary.add_bos = false;
  for (const char* text : {"\u2581", "a", "b", "a", "", ""}) vocabulary.tokens.push_back({text});
  const auto tokenizer = Tokenizer::Create(std::move(vocabulary));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->Find("a"), 1);
  EXPECT_EQ((*tokenizer)->TokenBytes(3), "a");
  const auto ids = (*tokenizer)->Encode("ab a");
  ASSERT_TRUE(ids.ok()) << ids.status();
  EXPECT_EQ((*tokenizer)->Decode(*ids), "ab a");
}

}  // namespace
}  // namespace potluck::model
