// Real vocabularies against llama.cpp's published vectors.
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>

#include "common/files.h"
#include "model/gguf/gguf_file.h"
#include "model/gguf/gguf_vocabulary.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/tokenizer_json.h"

namespace potluck::model {
namespace {

const std::string kFolder = POTLUCK_SOURCE_DIR "/../shared/data/tokenizers/";

std::vector<std::string> Texts(const std::string& name) {
  const std::string all = *ReadFile(kFolder + name + ".gguf.inp", 1 << 20);
  const std::string separator = "\n__ggml_vocab_test__\n";
  std::vector<std::string> texts;
  for (size_t begin = 0;;) {
    const size_t end = all.find(separator, begin);
    if (end == std::string::npos) return texts;
    texts.push_back(all.substr(begin, end - begin));
    begin = end + separator.size();
  }
}

std::vector<std::vector<TokenId>> Ids(const std::string& name) {
  std::istringstream lines(*ReadFile(kFolder + name + ".gguf.out", 1 << 20));
  std::vector<std::vector<TokenId>> all;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream numbers(line);
    auto& ids = all.emplace_back();
    for (TokenId id; numbers >> id;) ids.push_back(id);
  }
  return all;
}

void ExpectVectors(const Tokenizer& tokenizer, const std::string& name) {
  const auto texts = Texts(name);
  const auto ids = Ids(name);
  ASSERT_GT(texts.size(), 40u);
  ASSERT_GE(ids.size(), texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    SCOPED_TRACE(texts[i]);
    const auto encoded = tokenizer.Encode(texts[i], {.add_special = false});
    ASSERT_TRUE(encoded.ok()) << encoded.status();
    EXPECT_EQ(*encoded, ids[i]);
    EXPECT_EQ(tokenizer.Decode(*encoded), texts[i]);
  }
}

class Vocabularies : public testing::TestWithParam<const char*> {};

TEST_P(Vocabularies, GiveThePublishedIds) {
  const std::string path = kFolder + GetParam() + ".gguf";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not there";
  const auto file = GgufFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  auto vocabulary = VocabularyFromGguf(**file);
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
  const auto tokenizer = Tokenizer::Create(*std::move(vocabulary));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  ExpectVectors(**tokenizer, GetParam());
}

TEST(TokenizerJson, OfGpt2GivesThePublishedIds) {
  const std::string path = kFolder + "gpt2_tokenizer.json";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not there";
  auto vocabulary = VocabularyFromTokenizerJson(*ReadFile(path, kMaxTokenizerJsonBytes), "");
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
  const auto tokenizer = Tokenizer::Create(*std::move(vocabulary));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  ExpectVectors(**tokenizer, "ggml-vocab-gpt-2");
}

INSTANTIATE_TEST_SUITE_P(All, Vocabularies,
                         testing::Values("ggml-vocab-llama-spm", "ggml-vocab-gpt-2", "llama3-vocab",
                                         "qwen2-vocab"));

}  // namespace
}  // namespace potluck::model
