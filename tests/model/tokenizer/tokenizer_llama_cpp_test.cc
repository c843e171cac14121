// The tokenizer against llama.cpp, for every value of tokenizer.ggml.pre and for SentencePiece
// vocabularies. Goldens and how they were made: tests/golden/tokenizer/.
#include <fstream>
#include <set>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/tokenizer/pre_tokenizers.h"
#include "model/tokenizer/tokenizer.h"
#include "nlohmann/json.hpp"

namespace potluck::model {
namespace {

using ::testing::ElementsAreArray;
using Json = nlohmann::json;
using Ids = std::vector<TokenId>;

Json Golden(const std::string& name) {
  std::ifstream file(std::string(POTLUCK_SOURCE_DIR) + "/tests/golden/tokenizer/" + name);
  return Json::parse(file);
}

Vocabulary GoldenVocabulary(const Json& golden, TokenizerKind kind) {
  Vocabulary vocabulary;
  vocabulary.kind = kind;
  const Json& tokens = golden["tokens"];
  for (size_t id = 0; id < tokens.size(); ++id) {
    VocabularyToken token;
    token.text = tokens[id];
    token.type = static_cast<TokenType>(golden["types"][id].get<int>());
    if (golden.contains("scores")) token.score = golden["scores"][id];
    if (token.text == "<s>") vocabulary.bos = static_cast<TokenId>(id);
    if (token.text == "</s>") vocabulary.eos = static_cast<TokenId>(id);
    vocabulary.tokens.push_back(token);
  }
  for (const Json& merge : golden.value("merges", Json::array())) {
    vocabulary.merges.emplace_back(tokens[merge[0].get<int>()], tokens[merge[1].get<int>()]);
  }
  return vocabulary;
}

// Holds every case of variant `index` against `tokenizer`.
void CheckCases(const Tokenizer& tokenizer, const Json& golden, size_t index) {
  int checked = 0;
  for (const Json& c : golden["cases"]) {
    const int which = c["which"][index];
    if (which < 0) continue;
    const std::string text = c["text"];
    const auto ids = tokenizer.Encode(text, {.add_special = false, .parse_control = c["parse"]});
    ASSERT_TRUE(ids.ok()) << ids.status();
    EXPECT_EQ(*ids, c["ids"][which].get<Ids>()) << Json(text).dump();
    ++checked;
  }
  EXPECT_GT(checked, 40);
  const auto around = tokenizer.Encode("");
  ASSERT_TRUE(around.ok()) << around.status();
  EXPECT_EQ(*around, golden["special_around"][index].get<Ids>());
}

void CheckPre(const Json& golden) {
  for (size_t i = 0; i < golden["pre"].size(); ++i) {
    const std::string pre = golden["pre"][i];
    SCOPED_TRACE(pre);
    Vocabulary vocabulary = GoldenVocabulary(golden["vocabulary"], TokenizerKind::kByteLevelBpe);
    vocabulary.pre = pre;
    const auto tokenizer = Tokenizer::Create(std::move(vocabulary));
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    CheckCases(**tokenizer, golden, i);
  }
}

TEST(TokenizerLlamaCpp, EveryPreOverBytes) { CheckPre(Golden("bytes.json")); }
TEST(TokenizerLlamaCpp, EveryPreOverCharacters) { CheckPre(Golden("characters.json")); }

TEST(TokenizerLlamaCpp, NoPreIsLeftOut) {
  std::set<std::string> held;
  for (const char* file : {"bytes.json", "characters.json"}) {
    const Json golden = Golden(file);
    for (const Json& pre : golden["pre"]) held.insert(pre);
  }
  std::set<std::string> known;
  for (const PreTokenizer& pre : AllPreTokenizers()) known.emplace(pre.name);
  EXPECT_EQ(held, known);
}

// The goldens can tell patterns apart: another pre's ids must not pass.
TEST(TokenizerLlamaCpp, AnotherPreGivesOtherIds) {
  const Json golden = Golden("bytes.json");
  std::set<std::vector<int>> columns;
  for (size_t i = 0; i < golden["pre"].size(); ++i) {
    std::vector<int> column;
    for (const Json& c : golden["cases"]) column.push_back(c["which"][i]);
    columns.insert(column);
  }
  EXPECT_GE(columns.size(), 30u);
}

TEST(TokenizerLlamaCpp, SentencePiece) {
  const Json golden = Golden("sentencepiece.json");
  for (size_t i = 0; i < golden["variants"].size(); ++i) {
    const Json& variant = golden["variants"][i];
    SCOPED_TRACE(variant.dump());
    Vocabulary vocabulary =
        GoldenVocabulary(golden["vocabulary"], TokenizerKind::kSentencePieceBpe);
    const std::pair<const char*, std::optional<bool>*> flags[] = {
        {"add_space_prefix", &vocabulary.add_space_prefix},
        {"add_bos_token", &vocabulary.add_bos},
        {"add_eos_token", &vocabulary.add_eos}};
    for (const auto& [name, flag] : flags) {
      if (variant.contains(name)) *flag = variant[name].get<bool>();
    }
    const auto tokenizer = Tokenizer::Create(std::move(vocabulary));
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    CheckCases(**tokenizer, golden, i);
  }
}

TEST(TokenizerLlamaCpp, EndsAndControlTokensBySpelling) {
  for (const Json& golden : Golden("ends.json")) {
    SCOPED_TRACE(golden["spellings"].dump());
    Vocabulary vocabulary;
    vocabulary.pre = "gpt-2";
    for (const std::string letter : {"h", "e", "he"}) vocabulary.tokens.push_back({letter});
    for (const Json& spelling : golden["spellings"]) vocabulary.tokens.push_back({spelling});
    const auto tokenizer = Tokenizer::Create(std::move(vocabulary));
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    std::vector<std::string> ends, control;
    for (TokenId id = 0; id < static_cast<TokenId>((*tokenizer)->vocab_size()); ++id) {
      const std::string text((*tokenizer)->TokenText(id));
      if ((*tokenizer)->IsEndOfGeneration(id)) ends.push_back(text);
      if ((*tokenizer)->IsControl(id)) control.push_back(text);
    }
    EXPECT_THAT(ends,
                ElementsAreArray(golden["end_of_generation"].get<std::vector<std::string>>()));
    // Where a reply has several parts llama.cpp finds <|end|> in any text; here a user's stays
    // text.
    auto want_control = golden["control"].get<std::vector<std::string>>();
    const Json& spellings = golden["spellings"];
    const bool several_parts = spellings[0] == "<|end|>";
    if (several_parts && want_control[0] != "<|end|>") {
      want_control.insert(want_control.begin(), "<|end|>");
    }
    EXPECT_THAT(control, ElementsAreArray(want_control));
  }
}

}  // namespace
}  // namespace potluck::model
