// Text to ids and back: any bytes, any split into tokens, any length.
#include <random>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/tokenizer/pre_tokenizers.h"
#include "model/tokenizer/stream_decoder.h"
#include "model/tokenizer/tokenizer.h"
#include "tests/model/tokenizer_text/small_vocabularies.h"

namespace potluck::model {
namespace {

using ::testing::ElementsAre;

const EncodeOptions kPlain = {.add_special = false};

std::unique_ptr<Tokenizer> Make(Vocabulary vocabulary) {
  auto tokenizer = Tokenizer::Create(std::move(vocabulary));
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

std::string RandomBytes(std::mt19937& random, size_t size) {
  const std::string parts[] = {"hello",
                               " ",
                               "  ",
                               "\n",
                               "'s",
                               "12345",
                               "\u00e9",
                               "\u4f60\u597d",
                               "\U0001F600",
                               "\xff",
                               "\x80",
                               "\xe4\xbd",
                               "\xf0\x9f",
                               ".",
                               "\xc0\xaf",
                               "\xed\xa0\x80",
                               std::string(1, '\0'),
                               "\u0301",
                               "A",
                               "\r\n"};
  std::string text;
  while (text.size() < size) {
    text += random() % 4 == 0 ? std::string(1, static_cast<char>(random()))
                              : parts[random() % std::size(parts)];
  }
  return text;
}

TEST(FewestIds, NoTextHasFewer) {
  const auto bytes = Make(SmallByteLevel()), pieces = Make(SmallSentencePiece());
  EXPECT_EQ(bytes->FewestIds(1000), 100u);        // "<|im_end|>" is the longest
  EXPECT_EQ(pieces->FewestIds(1000), 1000u / 6);  // U+2581 is three bytes long
  std::mt19937 random(11);
  for (int round = 0; round < 200; ++round) {
    const std::string text = RandomBytes(random, 60);
    for (const auto* tokenizer : {bytes.get(), pieces.get()})
      EXPECT_GE(tokenizer->Encode(text, kPlain)->size(), tokenizer->FewestIds(text.size()));
  }
  for (const char* dense : {"hello", "\u2581\u2581", "\u2581the", "</s>", "<think>"}) {
    std::string text;
    while (text.size() < 120) text += dense;
    for (const auto* tokenizer : {bytes.get(), pieces.get()})
      EXPECT_GE(tokenizer->Encode(text, kPlain)->size(), tokenizer->FewestIds(text.size()));
  }
}

TEST(FewestIds, IsNotKnownWhereAPartOfATextMayVanish) {
  Vocabulary no_byte = SmallByteLevel();
  AddToken(no_byte, std::exchange(no_byte.tokens[7].text, "gone"));
  EXPECT_GT(Make(no_byte)->FewestIds(1000), 0u);
  no_byte.tokens.pop_back();
  EXPECT_EQ(Make(no_byte)->FewestIds(1000), 0u);
  Vocabulary strips = SmallByteLevel();
  strips.tokens.back().rstrip = true;
  EXPECT_EQ(Make(strips)->FewestIds(1000), 0u);
  Vocabulary replaces = SmallByteLevel();
  replaces.steps.emplace();
  EXPECT_EQ(Make(replaces)->FewestIds(1000), 100u);
  replaces.steps->normalizers = {{.kind = NormalizerStep::Kind::kNfc}};
  EXPECT_EQ(Make(replaces)->FewestIds(1000), 25u);
  replaces.steps->normalizers = {
      {.kind = NormalizerStep::Kind::kReplace, .pattern = " +", .content = " "}};
  EXPECT_EQ(Make(replaces)->FewestIds(1000), 0u);
}

TEST(RoundTrip, OfAnyBytesThroughEveryPreTokenizer) {
  std::mt19937 random(7);
  for (const PreTokenizer& pre : AllPreTokenizers()) {
    if (pre.characters) continue;  // its byte tokens are spelled otherwise
    SCOPED_TRACE(pre.name);
    const auto tokenizer = Make(SmallByteLevel(std::string(pre.name)));
    for (int round = 0; round < 20; ++round) {
      const std::string text = RandomBytes(random, 60);
      const auto ids = tokenizer->Encode(text, kPlain);
      ASSERT_TRUE(ids.ok()) << ids.status();
      EXPECT_EQ(tokenizer->Decode(*ids), text);
    }
  }
}

TEST(RoundTrip, OfAnyBytesThroughSentencePiece) {
  const auto tokenizer = Make(SmallSentencePiece());
  std::mt19937 random(8);
  for (int round = 0; round < 300; ++round) {
    const std::string text = RandomBytes(random, 40);
    EXPECT_EQ(tokenizer->Decode(*tokenizer->Encode(text, kPlain)), text);
  }
}

TEST(Decode, TheAddedSpaceIsTakenOffOnlyAtTheStartOfAText) {
  const auto tokenizer = Make(SmallSentencePiece());
  const TokenId the = *tokenizer->Find("\u2581the");
  EXPECT_TRUE(tokenizer->adds_space_prefix());
  EXPECT_THAT(*tokenizer->Encode("the the"), ElementsAre(1, the, the));
  EXPECT_EQ(tokenizer->Decode(std::vector<TokenId>{1, the, the}), "the the");
  EXPECT_EQ(tokenizer->Decode(std::vector<TokenId>{the}, {.continuation = true}), " the");
  StreamDecoder fresh(*tokenizer);
  EXPECT_EQ(fresh.Feed(1), "");
  EXPECT_EQ(fresh.Feed(the), "the");
  EXPECT_EQ(fresh.Feed(the), " the");
  StreamDecoder continued(*tokenizer, {.continuation = true});
  EXPECT_EQ(continued.Feed(the), " the");
}

TEST(Decode, ControlTokensAreShownOnRequestOnly) {
  const auto tokenizer = Make(SmallByteLevel());
  const std::vector<TokenId> ids = {'a', 261, 'b', 262};
  EXPECT_EQ(tokenizer->Decode(ids), "ab<think>");
  EXPECT_EQ(tokenizer->Decode(ids, {.show_control = true}), "a<|im_end|>b<think>");
}

// The expected texts follow Unicode's rule for ill-formed sequences (15.0, table 3-8 and others).
TEST(StreamDecoder, GivesWholeCharactersAndReplacesTheRest) {
  const auto tokenizer = Make(SmallByteLevel());
  const std::pair<std::string, std::string> cases[] = {
      {"h\u00e9llo \u4f60\U0001F600", "h\u00e9llo \u4f60\U0001F600"},
      {"\xff\xfe", "\uFFFD\uFFFD"},
      {"\xe4\xbd", "\uFFFD"},
      {"\xe4\xbdx", "\uFFFDx"},
      {"\xf0\x9f\x98", "\uFFFD"},
      {"\x61\xf1\x80\x80\xe1\x80\xc2\x62\x80\x63\x80\xbf\x64",
       "a\uFFFD\uFFFD\uFFFD"
       "b\uFFFD"
       "c\uFFFD\uFFFD"
       "d"},
      {"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41",
       "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD"
       "A"},
      {"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41",
       "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD"
       "A"},
      {"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42",
       "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD"
       "A\uFFFD\uFFFD"
       "B"},
  };
  for (const auto& [bytes, text] : cases) {
    StreamDecoder decoder(*tokenizer);
    std::string out;
    for (const char c : bytes) {
      const std::string piece = decoder.Feed(static_cast<unsigned char>(c));
      for (std::string_view rest = piece; !rest.empty(); rest.remove_prefix(DecodeUtf8(rest))) {
        ASSERT_GT(DecodeUtf8(rest), 0) << "half a character";
      }
      out += piece;
    }
    out += decoder.Flush();
    EXPECT_EQ(out, text);
  }
}

// Every way to cut a text into two or three tokens gives the same text.
TEST(StreamDecoder, DoesNotDependOnTheTokens) {
  const std::string bytes =
      "a\u00e9\u4f60\U0001F600\xe4\xbd\xff\xf0\x9f"
      "b";
  Vocabulary vocabulary = SmallByteLevel();
  const auto spelled = [](std::string_view part) {
    std::string text;
    for (const char c : part) text += ByteLetter(static_cast<unsigned char>(c));
    return text;
  };
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (size_t j = i + 1; j <= bytes.size(); ++j) {
      AddToken(vocabulary, spelled(std::string_view(bytes).substr(i, j - i)));
    }
  }
  const auto tokenizer = Make(vocabulary);
  StreamDecoder whole(*tokenizer);
  const auto id = [&](size_t i, size_t j) {
    return *tokenizer->Find(spelled(std::string_view(bytes).substr(i, j - i)));
  };
  std::string want = whole.Feed(id(0, bytes.size()));
  want += whole.Flush();
  EXPECT_EQ(want,
            "a\u00e9\u4f60\U0001F600\uFFFD\uFFFD\uFFFD"
            "b");
  for (size_t i = 1; i < bytes.size(); ++i) {
    for (size_t j = i; j < bytes.size(); ++j) {
      StreamDecoder decoder(*tokenizer);
      std::string text = decoder.Feed(id(0, i));
      if (i < j) text += decoder.Feed(id(i, j));
      text += decoder.Feed(id(j, bytes.size()));
      EXPECT_EQ(text + decoder.Flush(), want) << i << " " << j;
    }
  }
}

// Much of what is worst for each step; two megabytes once. The test's time limit is the assertion:
// a quadratic step would need hours.
TEST(LongTexts, AreNotQuadratic) {
  constexpr size_t kBytes = 256 << 10;
  const std::string parts[] = {"l", " ", "\n", "1", "hello ", "\u4f60", "\xff", "A", "'", "\u0301"};
  const auto repeated = [&](const std::string& part) {
    std::string text;
    while (text.size() < kBytes) text += part;
    return text + "x";
  };
  const std::string pres[] = {"gpt-2",       "llama-bpe", "qwen2",     "deepseek-llm",
                              "deepseek-v3", "tekken",    "superbpe",  "tiny_aya",
                              "exaone-moe",  "kimi-k2",   "chameleon", "gpt-4o"};
  for (const std::string& pre : pres) {
    const auto tokenizer = Make(SmallByteLevel(pre));
    for (const std::string& part : parts) {
      SCOPED_TRACE(pre + " " + Printable(part));
      const std::string text = repeated(part);
      const auto ids = tokenizer->Encode(text, kPlain);
      ASSERT_TRUE(ids.ok()) << ids.status();
      EXPECT_TRUE(tokenizer->Decode(*ids) == text);
    }
  }
  const std::string text(2 << 20, 'l');
  const auto tokenizer = Make(SmallByteLevel());
  EXPECT_TRUE(tokenizer->Decode(*tokenizer->Encode(text, kPlain)) == text);
  const auto sentence_piece = Make(SmallSentencePiece());
  for (const std::string part : {"the ", "the", " ", "\xff", "<s>"}) {
    const std::string pieces = repeated(part);
    EXPECT_TRUE(sentence_piece->Decode(*sentence_piece->Encode(pieces, kPlain)) == pieces);
  }
}

}  // namespace
}  // namespace potluck::model
