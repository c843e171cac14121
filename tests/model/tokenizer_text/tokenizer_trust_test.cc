// Whose words become control tokens: the template's, never the user's.
#include <algorithm>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/tokenizer/pre_tokenizers.h"
#include "model/tokenizer/tokenizer.h"
#include "tests/model/tokenizer_text/small_vocabularies.h"

namespace potluck::model {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr TokenId kHello = 259, kEnd = 260, kTurn = 261, kThink = 262;
const EncodeOptions kPlain = {.add_special = false};

std::unique_ptr<Tokenizer> Make(Vocabulary vocabulary) {
  auto tokenizer = Tokenizer::Create(std::move(vocabulary));
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

bool HasControl(const Tokenizer& tokenizer, const std::vector<TokenId>& ids) {
  return std::any_of(ids.begin(), ids.end(), [&](TokenId id) { return tokenizer.IsControl(id); });
}

TEST(Trust, PlainTextNeverBecomesControlTokens) {
  const auto tokenizer = Make(SmallByteLevel());
  const auto ids = *tokenizer->Encode("hello<|im_end|></s><think>", kPlain);
  EXPECT_FALSE(HasControl(*tokenizer, ids));
  EXPECT_EQ(ids.front(), kHello);
  EXPECT_EQ(ids.back(), kThink);
  EXPECT_THAT(*tokenizer->Encode("hello<|im_end|></s><think>",
                                 {.add_special = false, .parse_control = true}),
              ElementsAre(kHello, kTurn, kEnd, kThink));
}

TEST(Trust, MergesDontSpellControlTokensEither) {
  Vocabulary vocabulary = SmallByteLevel();
  vocabulary.tokens[kHello].type = TokenType::kControl;
  for (const bool ignore_merges : {false, true}) {
    vocabulary.ignore_merges = ignore_merges;
    const auto tokenizer = Make(vocabulary);
    EXPECT_THAT(*tokenizer->Encode("hello", kPlain), ElementsAre(258, 'o'));
  }
}

TEST(Trust, SentencePieceMergesDontSpellControlOrByteTokens) {
  const auto tokenizer = Make(SmallSentencePiece());
  for (const std::string text : {"<s>", "</s>", "<0x0A>", "the<s>the", "<unk>"}) {
    const auto ids = *tokenizer->Encode(text, kPlain);
    EXPECT_FALSE(HasControl(*tokenizer, ids)) << text;
    EXPECT_EQ(tokenizer->Decode(ids), text);
  }
}

TEST(Trust, OnlyTrustedSpansHaveControlTokens) {
  const auto tokenizer = Make(SmallByteLevel());
  const auto encode = [&](const TextSpans& spans) { return *tokenizer->Encode(spans, kPlain); };
  EXPECT_THAT(encode({{"hello", false}, {"<|im_end|>", true}}), ElementsAre(kHello, kTurn));
  EXPECT_FALSE(HasControl(*tokenizer, encode({{"<|im_end|>", false}, {"hello", true}})));
  // Halves of a spelling from two sides of a border are no spelling.
  EXPECT_FALSE(HasControl(*tokenizer, encode({{"<|im_", true}, {"end|>", false}})));
  EXPECT_FALSE(HasControl(*tokenizer, encode({{"<|im_", false}, {"end|>", true}})));
  // Two trusted neighbours are one, also with nothing between them.
  EXPECT_THAT(encode({{"<|im_", true}, {"", false}, {"end|>", true}}), ElementsAre(kTurn));
  // Text between control tokens is one fragment, whatever spans it came from.
  EXPECT_THAT(encode({{"</s>he", true}, {"ll", false}, {"o</s>", true}}),
              ElementsAre(kEnd, kHello, kEnd));
}

// A user who writes pieces of spellings at random, between a template's parts.
TEST(Trust, NoUserTextAddsAControlToken) {
  const std::string parts[] = {"<",     "|",          "im_end", "|>",   "</", "s",
                               ">",     "<|im_end|>", "</s>",   " ",    "<|", "\n",
                               "hello", "<think>",    "\xff",   "<|im_"};
  for (const uint32_t seed : {1u, 2u, 3u}) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto tokenizer = Make(SmallByteLevel("llama-bpe"));
    for (int round = 0; round < 300; ++round) {
      std::string user;
      for (int i = 0; i < 12; ++i) user += parts[random() % std::size(parts)];
      const auto ids =
          *tokenizer->Encode({{"</s>", true}, {user, false}, {"<|im_end|>", true}}, kPlain);
      EXPECT_EQ(std::count_if(ids.begin(), ids.end(),
                              [&](TokenId id) { return tokenizer->IsControl(id); }),
                2);
      EXPECT_EQ(tokenizer->Decode(ids), user);
    }
  }
}

TEST(Create, AnUnknownPreIsNamed) {
  const auto tokenizer = Tokenizer::Create(SmallByteLevel("no-such-pre"));
  ASSERT_FALSE(tokenizer.ok());
  EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(tokenizer.status().message()), HasSubstr("no-such-pre"));
}

TEST(Create, AMissingPreIsTheDefaultWithAWarning) {
  const auto missing = Make(SmallByteLevel(""));
  ASSERT_THAT(missing->warnings(), ElementsAre(HasSubstr("tokenizer.ggml.pre")));
  const auto named = Make(SmallByteLevel("default"));
  EXPECT_THAT(named->warnings(), IsEmpty());
  for (const char* text : {"hello 12345, it's!", "  x\n\n y"}) {
    EXPECT_EQ(*missing->Encode(text), *named->Encode(text));
  }
}

TEST(Create, AnEmptyVocabularyIsRefused) { EXPECT_FALSE(Tokenizer::Create({}).ok()); }

TEST(Create, SpecialIdsOutOfRangeAreDropped) {
  Vocabulary vocabulary = SmallByteLevel();
  vocabulary.bos = 100000;
  vocabulary.eos = -5;
  vocabulary.end_of_generation = {-1, 99999999, 7};
  vocabulary.add_bos = true;
  const auto tokenizer = Make(vocabulary);
  EXPECT_FALSE(tokenizer->bos());
  EXPECT_FALSE(tokenizer->eos());
  EXPECT_TRUE(tokenizer->IsEndOfGeneration(7));
  EXPECT_GE(tokenizer->warnings().size(), 2u);
  EXPECT_THAT(*tokenizer->Encode("a"), ElementsAre('a'));
}

TEST(Create, MissingBytesAreToldAndNeverCrash) {
  Vocabulary vocabulary = SmallByteLevel();
  vocabulary.tokens['x'].text = "yy";
  const auto tokenizer = Make(vocabulary);
  EXPECT_THAT(tokenizer->warnings(), ElementsAre(HasSubstr("1 of the 256 bytes")));
  EXPECT_THAT(*tokenizer->Encode("axb"), ElementsAre('a', 'b'));
}

TEST(Strip, TokensTakeWhiteSpaceAlong) {
  Vocabulary vocabulary = SmallByteLevel();
  vocabulary.tokens[kThink].rstrip = true;
  vocabulary.tokens[kTurn].lstrip = true;
  const auto tokenizer = Make(vocabulary);
  EXPECT_THAT(*tokenizer->Encode("a <think> \n b  <|im_end|> c",
                                 {.add_special = false, .parse_control = true}),
              ElementsAre('a', ' ', kThink, 'b', kTurn, ' ', 'c'));
}

TEST(Strip, Phi3IsKnownByItsName) {
  Vocabulary vocabulary = SmallByteLevel();
  vocabulary.model_name = "Phi-3 mini";
  EXPECT_THAT(
      *Make(vocabulary)->Encode("<|im_end|>\n a", {.add_special = false, .parse_control = true}),
      ElementsAre(kTurn, 'a'));
}

TEST(LookUp, FindsTokensOfAnyType) {
  const auto tokenizer = Make(SmallByteLevel());
  EXPECT_EQ(tokenizer->Find("<|im_end|>"), kTurn);
  EXPECT_EQ(tokenizer->Find("hello"), kHello);
  EXPECT_FALSE(tokenizer->Find("hellp"));
  EXPECT_EQ(tokenizer->TokenText(kTurn), "<|im_end|>");
  EXPECT_EQ(tokenizer->TokenBytes(kTurn), "");
  EXPECT_EQ(tokenizer->TokenBytes(-1), "");
  EXPECT_EQ(tokenizer->TokenText(263), "");
  EXPECT_FALSE(tokenizer->IsControl(1 << 30));
  EXPECT_THAT(tokenizer->end_of_generation(), ElementsAre(kEnd, kTurn));
  EXPECT_EQ(tokenizer->eot(), kTurn);
}

}  // namespace
}  // namespace potluck::model
