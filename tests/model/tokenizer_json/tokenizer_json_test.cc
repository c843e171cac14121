// tokenizer.json files against the `tokenizers` library (goldens and how they were made:
// tests/golden/tokenizer_json/), and files that are wrong or ask for more than we read.
#include "model/tokenizer/tokenizer_json.h"

#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/tokenizer/tokenizer.h"
#include "nlohmann/json.hpp"

namespace potluck::model {
namespace {

using Json = nlohmann::json;
using Ids = std::vector<TokenId>;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Json Golden(const std::string& name) {
  std::ifstream file(POTLUCK_SOURCE_DIR "/tests/golden/tokenizer_json/" + name + ".json");
  return Json::parse(file);
}

std::unique_ptr<Tokenizer> Make(const Json& json, std::string_view config = "") {
  auto vocabulary = VocabularyFromTokenizerJson(json.dump(), config);
  EXPECT_TRUE(vocabulary.ok()) << vocabulary.status();
  if (!vocabulary.ok()) return nullptr;
  auto tokenizer = Tokenizer::Create(*std::move(vocabulary));
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

// The numbers of texts whose ids differ.
std::vector<size_t> Differences(const Tokenizer& tokenizer, const Json& golden) {
  std::vector<size_t> different;
  for (size_t i = 0; i < golden["texts"].size(); ++i) {
    const auto ids =
        tokenizer.Encode(golden["texts"][i].get<std::string>(), {.add_special = false});
    if (!ids.ok() || *ids != golden["ids"][i].get<Ids>()) different.push_back(i);
  }
  return different;
}

class Goldens : public testing::TestWithParam<const char*> {};

TEST_P(Goldens, GiveTheLibrarysIds) {
  const Json golden = Golden(GetParam());
  const auto tokenizer = Make(golden["tokenizer"]);
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_THAT(Differences(*tokenizer, golden), ElementsAre());
  const size_t count = golden["texts"].size();
  for (size_t i = 0; i < 2; ++i) {
    const auto ids = tokenizer->Encode(golden["texts"][count - 2 + i].get<std::string>(),
                                       {.add_special = false, .parse_control = true});
    ASSERT_TRUE(ids.ok());
    EXPECT_EQ(*ids, golden["parsed"][i].get<Ids>());
  }
  EXPECT_EQ(*tokenizer->Encode("a b"), golden["with_special"].get<Ids>());
}

TEST_P(Goldens, GiveTheLibrarysTextBack) {
  const Json golden = Golden(GetParam());
  const auto tokenizer = Make(golden["tokenizer"]);
  ASSERT_NE(tokenizer, nullptr);
  for (size_t i = 0; i < golden["ids"].size(); ++i) {
    // The library reads an added token's own e-acute as a letter of the byte alphabet.
    if (golden["decoded"][i].get<std::string>().find("caf\uFFFD") != std::string::npos) continue;
    EXPECT_EQ(tokenizer->Decode(golden["ids"][i].get<Ids>()),
              golden["decoded"][i].get<std::string>());
  }
}

// Negative control: another pattern must show.
TEST(GoldensControl, AnotherPatternGivesOtherIds) {
  Json golden = Golden("llama3_like");
  auto& split = golden["tokenizer"]["pre_tokenizer"]["pretokenizers"][0];
  ASSERT_EQ(split["type"], "Split");
  split["pattern"]["Regex"] = R"(\S+|\s+)";
  const auto tokenizer = Make(golden["tokenizer"]);
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_FALSE(Differences(*tokenizer, golden).empty());
}

// Negative control: so must a missing normaliser.
TEST(GoldensControl, WithoutNfcIdsDiffer) {
  Json golden = Golden("qwen2_like");
  golden["tokenizer"]["normalizer"] = nullptr;
  EXPECT_FALSE(Differences(*Make(golden["tokenizer"]), golden).empty());
}

TEST(TokenizerJson, MergesMayBeStrings) {
  Json golden = Golden("llama3_like");
  for (Json& merge : golden["tokenizer"]["model"]["merges"]) {
    if (merge.is_array()) {
      merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
    }
  }
  EXPECT_THAT(Differences(*Make(golden["tokenizer"]), golden), ElementsAre());
}

INSTANTIATE_TEST_SUITE_P(All, Goldens,
                         testing::Values("llama3_like", "qwen2_like", "gpt4o_like", "split_kinds",
                                         "metaspace_always", "metaspace_first",
                                         "metaspace_never_split", "prepend_replace"));

Json Small() {
  return Json::parse(R"({
    "added_tokens": [{"id": 4, "content": "<s>", "special": true},
                     {"id": 5, "content": "</s>", "special": true}],
    "normalizer": null, "post_processor": null,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "Ġ": 3}, "merges": [["a", "b"]]}})");
}

TEST(TokenizerJson, TheConfigurationNamesSpecialTokens) {
  const auto tokenizer =
      Make(Small(), R"({"bos_token": "<s>", "eos_token": {"content": "</s>"}, "pad_token": null,
                        "add_bos_token": true, "add_eos_token": true})");
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->bos(), 4);
  EXPECT_EQ(tokenizer->eos(), 5);
  EXPECT_TRUE(tokenizer->adds_bos());
  EXPECT_THAT(*tokenizer->Encode("ab a"), ElementsAre(4, 2, 3, 0, 5));
  EXPECT_TRUE(tokenizer->IsEndOfGeneration(5));
}

TEST(TokenizerJson, TheConfigurationOverrulesTheTemplate) {
  Json json = Small();
  json["post_processor"] = Json::parse(R"({"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A"}}],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [4], "tokens": ["<s>"]}}})");
  EXPECT_THAT(*Make(json)->Encode("a"), ElementsAre(4, 0));
  EXPECT_THAT(*Make(json, R"({"bos_token": "<s>", "add_bos_token": false})")->Encode("a"),
              ElementsAre(0));
}

struct Wrong {
  const char* where;  // a JSON pointer
  const char* value;
  const char* message;
};

class WrongFiles : public testing::TestWithParam<Wrong> {};

TEST_P(WrongFiles, AreNamed) {
  Json json = Small();
  json[Json::json_pointer(GetParam().where)] = Json::parse(GetParam().value);
  const auto vocabulary = VocabularyFromTokenizerJson(json.dump(), "");
  absl::Status status = vocabulary.status();
  if (vocabulary.ok()) status = Tokenizer::Create(*vocabulary).status();
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().message));
  EXPECT_EQ(status.message().find('\n'), absl::string_view::npos);
}

INSTANTIATE_TEST_SUITE_P(
    All, WrongFiles,
    testing::Values(
        Wrong{"/model/type", R"("Unigram")", "Unigram"},
        Wrong{"/model/type", R"("WordPiece")", "WordPiece"},
        Wrong{"/model/dropout", "0.1", "dropout"},
        Wrong{"/model/end_of_word_suffix", R"("</w>")", "end_of_word_suffix"},
        Wrong{"/model", "[]", "no model"}, Wrong{"/model/vocab", "{}", "no vocab"},
        Wrong{"/model/vocab", R"({"a": 9000000000000})", "far beyond"},
        Wrong{"/model/vocab", R"({"a": 16000000})", "far beyond"},
        Wrong{"/model/vocab", R"({"a": -1})", "no id"},
        Wrong{"/model/vocab", R"({"a": "x"})", "no id"},
        Wrong{"/model/vocab", R"({"a": 0, "b": 0})", "same id"},
        Wrong{"/model/merges", "7", "no merges"}, Wrong{"/model/merges", R"(["ab"])", "no pair"},
        Wrong{"/model/merges", R"([["a", "b", "c"]])", "no pair"},
        Wrong{"/model/merges", R"([["a", "Ġ"]])", "vocab doesn't have"},
        Wrong{"/added_tokens", "{}", "no list"}, Wrong{"/added_tokens", "[{}]", "no content"},
        Wrong{"/normalizer", R"({"type": "Precompiled"})", "Precompiled"},
        Wrong{"/normalizer", R"({"type": "Replace", "content": ""})", "no pattern"},
        Wrong{"/normalizer", R"({"type": "Replace", "content": "", "pattern": {"Regex": "("}})",
              "cannot be read"},
        Wrong{"/pre_tokenizer", R"({"type": "BertPreTokenizer"})", "BertPreTokenizer"},
        Wrong{"/pre_tokenizer", R"({"type": "Split", "pattern": {"Regex": "[a[b]]"}})", "set"},
        Wrong{"/pre_tokenizer", R"({"type": "Split", "pattern": {"String": "a"}, "behavior": "X"})",
              "behavior"},
        Wrong{"/pre_tokenizer", R"({"type": "Metaspace", "replacement": "_"})", "U+2581"},
        Wrong{"/post_processor", R"({"type": "Other"})", "Other"},
        Wrong{"/post_processor",
              R"({"type": "RobertaProcessing", "sep": ["x", 1], "cls": ["y", 99]})", "token 99"}));

TEST(TokenizerJson, RefusesWhatIsNoJson) {
  for (const std::string& text : {std::string(), std::string("{"), std::string("[1]"),
                                  std::string(100000, '['), std::string("\xff\xfe")}) {
    EXPECT_FALSE(VocabularyFromTokenizerJson(text, "").ok());
  }
  EXPECT_FALSE(VocabularyFromTokenizerJson(Small().dump(), "{").ok());
}

// A pattern that backtracks without end on a text made for it: an error, and soon.
TEST(TokenizerJson, EndlessPatternsEnd) {
  Json json = Small();
  json["pre_tokenizer"] = Json::parse(R"({"type": "Sequence", "pretokenizers": [
    {"type": "Split", "pattern": {"Regex": "(a*)*b"}, "behavior": "Isolated"},
    {"type": "ByteLevel", "add_prefix_space": false}]})");
  const auto tokenizer = Make(json);
  ASSERT_NE(tokenizer, nullptr);
  const auto ids = tokenizer->Encode(std::string(2000, 'a') + "c");
  EXPECT_TRUE(ids.ok() || absl::IsResourceExhausted(ids.status())) << ids.status();
}

// Marks in the worst order for a normaliser that sorts by insertion.
TEST(TokenizerJson, LongRunsOfMarksAreNormalisedInTime) {
  const Json golden = Golden("qwen2_like");
  const auto tokenizer = Make(golden["tokenizer"]);
  std::string text = "a", sorted = "a";
  const int marks = 200000;
  for (int i = 0; i < marks; ++i) text += i % 2 == 0 ? "\u0301" : "\u0323";  // classes 230, 220
  const std::string decoded = tokenizer->Decode(*tokenizer->Encode(text, {.add_special = false}));
  // NFC: a with dot below, the other dots, the acutes.
  ASSERT_EQ(decoded.size(), 3u + 2 * (marks - 1));
  EXPECT_EQ(decoded.substr(0, 7), "\u1EA1\u0323\u0323");
  EXPECT_EQ(decoded.substr(decoded.size() - 2), "\u0301");
}

}  // namespace
}  // namespace potluck::model
