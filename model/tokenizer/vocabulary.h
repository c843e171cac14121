// What a model file says of its vocabulary, whichever file it came from: the input of Tokenizer.
// Sources: GGUF metadata (docs/formats.md, `tokenizer.ggml.*`) and Hugging Face tokenizer.json.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace potluck::model {

using TokenId = int32_t;

enum class TokenType : uint8_t { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };

struct VocabularyToken {
  std::string text;  // as stored: U+2581 for spaces (SentencePiece) or GPT-2's byte alphabet
                     // (byte-level BPE)
  float score = 0;
  TokenType type = TokenType::kNormal;
};

enum class TokenizerKind {
  kSentencePieceBpe,  // GGUF "llama": merges by score, byte fallback
  kByteLevelBpe,      // GGUF "gpt2": regular-expression splits, merges by rank
};

struct Vocabulary {
  TokenizerKind kind = TokenizerKind::kByteLevelBpe;
  std::string pre;                      // `tokenizer.ggml.pre`; empty where the file has none
  std::vector<VocabularyToken> tokens;  // index = id
  std::vector<std::pair<std::string, std::string>> merges;  // in rank order; byte-level BPE only

  std::optional<TokenId> bos, eos, eot, unknown, padding;
  std::vector<TokenId> end_of_generation;  // further ids that end a turn, where the file names them
  // Absent where the file doesn't say: then the tokenizer kind's (and `pre`'s) own default holds.
  std::optional<bool> add_bos, add_eos, add_space_prefix;
  std::optional<bool> remove_extra_whitespaces;
  std::optional<bool> ignore_merges;
};

}  // namespace potluck::model
