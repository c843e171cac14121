// Vocabularies small enough to think about.
#pragma once

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "common/text.h"
#include "model/tokenizer/vocabulary.h"

namespace potluck::model {

inline void AddToken(Vocabulary& vocabulary, std::string text, TokenType type = TokenType::kNormal,
                     float score = 0) {
  VocabularyToken token;
  token.text = std::move(text);
  token.type = type;
  token.score = score;
  vocabulary.tokens.push_back(std::move(token));
}

// GPT-2's letter for `byte`, as the format defines it.
inline std::string ByteLetter(int byte) {
  int next = 256;
  for (int b = 0;; ++b) {
    const bool itself = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
    const int code_point = itself ? b : next++;
    if (b == byte) {
      std::string text;
      AppendUtf8(static_cast<char32_t>(code_point), text);
      return text;
    }
  }
}

// Ids 0..255 are the bytes; then "he", "ll", "hell", "hello"; then </s>, <|im_end|>, <think>.
inline Vocabulary SmallByteLevel(const std::string& pre = "gpt-2") {
  Vocabulary vocabulary;
  vocabulary.kind = TokenizerKind::kByteLevelBpe;
  vocabulary.pre = pre;
  for (int byte = 0; byte < 256; ++byte) AddToken(vocabulary, ByteLetter(byte));
  const std::pair<std::string, std::string> merges[] = {
      {"h", "e"}, {"l", "l"}, {"he", "ll"}, {"hell", "o"}};
  for (const auto& merge : merges) {
    vocabulary.merges.push_back(merge);
    AddToken(vocabulary, merge.first + merge.second);
  }
  AddToken(vocabulary, "</s>", TokenType::kControl);
  AddToken(vocabulary, "<|im_end|>", TokenType::kControl);
  AddToken(vocabulary, "<think>", TokenType::kUserDefined);
  vocabulary.eos = 260;
  return vocabulary;
}

// <unk>, <s>, </s>, the bytes from id 3, then pieces.
inline Vocabulary SmallSentencePiece() {
  Vocabulary vocabulary;
  vocabulary.kind = TokenizerKind::kSentencePieceBpe;
  AddToken(vocabulary, "<unk>", TokenType::kUnknown);
  AddToken(vocabulary, "<s>", TokenType::kControl);
  AddToken(vocabulary, "</s>", TokenType::kControl);
  for (int byte = 0; byte < 256; ++byte) {
    char text[8];
    std::snprintf(text, sizeof(text), "<0x%02X>", byte);
    AddToken(vocabulary, text, TokenType::kByte);
  }
  float score = 0;
  for (const char* piece : {"\u2581t",
                            "he",
                            "\u2581the",
                            "<s",
                            "s>",
                            "/s",
                            "</",
                            "<0",
                            "x0",
                            "A>",
                            "<0x",
                            "0A>",
                            "\u2581\u2581",
                            "\u2581",
                            "t",
                            "h",
                            "e",
                            "<",
                            ">",
                            "/",
                            "s",
                            "0",
                            "x",
                            "A",
                            "\u00e9"}) {
    AddToken(vocabulary, piece, TokenType::kNormal, score--);
  }
  return vocabulary;
}

}  // namespace potluck::model
