#include "model/grammar/token_masks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

namespace potluck::model {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// All strings of up to `longest` letters of "ab{}" and a token for each other byte; 0 ends an
// answer.
std::unique_ptr<Tokenizer> SmallTokenizer(int longest = 3) {
  Vocabulary vocabulary;
  vocabulary.kind = TokenizerKind::kSentencePieceBpe;
  vocabulary.eos = 0;
  vocabulary.tokens.push_back({.text = "</s>", .score = 0, .type = TokenType::kControl});
  std::vector<std::string> texts = {""};
  for (size_t i = 0; i < texts.size(); ++i) {
    if (i > 0)
      vocabulary.tokens.push_back({.text = texts[i], .score = 0, .type = TokenType::kNormal});
    if (texts[i].size() == static_cast<size_t>(longest)) continue;
    for (const char c : std::string("ab{}")) texts.push_back(texts[i] + c);
  }
  for (int byte = 0; byte < 256; ++byte) {
    constexpr char kHex[] = "0123456789ABCDEF";
    vocabulary.tokens.push_back(
        {.text = std::string("<0x") + kHex[byte / 16] + kHex[byte % 16] + ">",
         .score = 0,
         .type = TokenType::kByte});
  }
  auto tokenizer = Tokenizer::Create(std::move(vocabulary));
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

class TokenMasksTest : public ::testing::Test {
 protected:
  static std::shared_ptr<const Grammar> GrammarOf(std::string_view gbnf) {
    absl::StatusOr<Grammar> grammar = ParseGbnf(gbnf);
    EXPECT_TRUE(grammar.ok()) << grammar.status();
    return std::make_shared<Grammar>(*std::move(grammar));
  }
  TokenMasks MasksOf(std::string_view gbnf) const { return TokenMasks(GrammarOf(gbnf), trie_); }

  TokenId Id(std::string_view text) const { return *tokenizer_->Find(text); }

  // The bytes of all that may follow, by id; an end is "$".
  std::vector<std::string> Texts(std::span<const uint64_t> mask) const {
    std::vector<std::string> texts;
    for (TokenId id = 0; id < static_cast<TokenId>(tokenizer_->vocab_size()); ++id) {
      if ((mask[id / 64] >> (id % 64) & 1) == 0) continue;
      texts.push_back(id == 0 ? "$" : std::string(tokenizer_->TokenBytes(id)));
    }
    return texts;
  }

  const std::shared_ptr<const Tokenizer> tokenizer_ = SmallTokenizer();
  const std::shared_ptr<const TokenTrie> trie_ = std::make_shared<TokenTrie>(tokenizer_);
};

TEST_F(TokenMasksTest, AllowWhatGoesOnAndTheEndWhereATextMayEnd) {
  TokenMasks masks = MasksOf("root ::= \"ab\" \"a\"? ");
  TokenMasks::Cursor cursor;
  EXPECT_THAT(Texts(masks.Allowed({}, cursor)), ElementsAre("a", "ab", "aba", "a"));
  std::vector<TokenId> text = {Id("ab")};
  EXPECT_THAT(Texts(masks.Allowed(text, cursor)), ElementsAre("$", "a", "a"));
  text.push_back(Id("a"));
  EXPECT_THAT(Texts(masks.Allowed(text, cursor)), ElementsAre("$"));
  // Another text, and one that is none of the grammar's.
  EXPECT_THAT(Texts(masks.Allowed(std::vector{Id("a")}, cursor)), ElementsAre("b", "ba", "b"));
  EXPECT_THAT(Texts(masks.Allowed(std::vector{Id("b")}, cursor)), ElementsAre("$"));
}

TEST_F(TokenMasksTest, AllowPartsOfCharacters) {
  TokenMasks masks = MasksOf("root ::= [\\u00e4\\u00f6]");
  TokenMasks::Cursor cursor;
  EXPECT_THAT(Texts(masks.Allowed({}, cursor)), ElementsAre("\xc3"));
  EXPECT_THAT(Texts(masks.Allowed(std::vector{Id("<0xC3>")}, cursor)), ElementsAre("\xa4", "\xb6"));
}

TEST_F(TokenMasksTest, EndsWhereNothingCanFollow) {
  TokenMasks nothing = MasksOf("root ::= \"a\" []");
  TokenMasks::Cursor cursor;
  EXPECT_THAT(Texts(nothing.Allowed(std::vector{Id("a")}, cursor)), ElementsAre("$"));
}

// Against the definition: a token is allowed exactly where its bytes, one after another, are.
TEST_F(TokenMasksTest, AreWhatEachTokenAloneIsAllowed) {
  const auto grammar = GrammarOf(
      "root ::= \"{\" list? \"}\"\nlist ::= item (item)*\nitem ::= root | \"ab\" | \"b\"{2,3} | "
      "\"a\"");
  TokenMasks masks(grammar, trie_);
  GrammarAutomaton automaton(grammar);
  std::mt19937 random(3);
  for (int round = 0; round < 50; ++round) {
    std::vector<TokenId> text;
    TokenMasks::Cursor cursor;
    GrammarAutomaton::State state = automaton.start();
    while (text.size() < 12) {
      const std::span<const uint64_t> mask = masks.Allowed(text, cursor);
      std::vector<TokenId> allowed;
      for (TokenId id = 1; id < static_cast<TokenId>(tokenizer_->vocab_size()); ++id) {
        GrammarAutomaton::State after = state;
        for (const char c : tokenizer_->TokenBytes(id))
          after = automaton.Next(after, static_cast<uint8_t>(c));
        EXPECT_EQ(mask[id / 64] >> (id % 64) & 1, after != GrammarAutomaton::kDead)
            << tokenizer_->TokenBytes(id);
        if (after != GrammarAutomaton::kDead) allowed.push_back(id);
      }
      EXPECT_EQ(mask[0] & 1, allowed.empty() || automaton.accepts(state));
      if (allowed.empty()) break;
      text.push_back(allowed[random() % allowed.size()]);
      for (const char c : tokenizer_->TokenBytes(text.back()))
        state = automaton.Next(state, static_cast<uint8_t>(c));
    }
  }
}

// What was forgotten meanwhile, and who asks in which order, changes nothing.
TEST_F(TokenMasksTest, DoNotDependOnWhatWasAskedBefore) {
  // Each place of a long text is a state of its own.
  const auto grammar = GrammarOf("root ::= item{0,20000}\nitem ::= [ab] | \"{}\" [ab]{0,30}");
  TokenMasks asked_much(grammar, trie_);
  TokenMasks::Cursor cursor;
  std::vector<TokenId> text;
  std::mt19937 random(5);
  for (int i = 0; i < 8000; ++i) {
    asked_much.Allowed(text, cursor);
    text.push_back(Id(random() % 2 == 0 ? "aab" : "{}b"));
    if (i % 400 != 0) continue;
    TokenMasks fresh(grammar, trie_);
    TokenMasks::Cursor other;
    EXPECT_THAT(Texts(asked_much.Allowed(text, cursor)),
                ::testing::ElementsAreArray(Texts(fresh.Allowed(text, other))));
  }
}

}  // namespace
}  // namespace potluck::model
