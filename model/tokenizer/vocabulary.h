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
                     // (byte-level BPE); control and user-defined tokens are spelled plainly
  float score = 0;
  TokenType type = TokenType::kNormal;
  // How a control or user-defined token is found in text (tokenizer.json's added_tokens):
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // takes the white space after it along
  bool single_word = false;  // only where no word character touches it
  bool normalized = false;   // looked for in the normalised text, not in the text as given
};

enum class TokenizerKind {
  kSentencePieceBpe,  // GGUF "llama": merges by score, byte fallback
  kByteLevelBpe,      // GGUF "gpt2": regular-expression splits, merges by rank over bytes
  kCharacterBpe,      // tokenizer.json made from SentencePiece: merges by rank over characters,
                      // byte fallback
};

// One change to a text before it is split.
struct NormalizerStep {
  enum class Kind { kNfc, kNfd, kNfkc, kNfkd, kPrepend, kReplace };
  Kind kind = Kind::kNfc;
  std::string pattern;  // kReplace: the regular expression to find
  std::string
      content;  // kReplace: what to put there; kPrepend: what to put before a non-empty text
};

// What becomes of the parts that a pattern matches.
enum class SplitBehavior {
  kIsolated,            // a piece of their own
  kRemoved,             // dropped
  kMergedWithPrevious,  // the end of the piece before
  kMergedWithNext,      // the start of the piece after
  kContiguous,          // a piece of their own together with the matches that touch them
};

// One way to cut the pieces of a text into smaller pieces; merges never cross a cut.
struct PreTokenizerStep {
  enum class Kind {
    kSplit,         // at the matches of `pattern`
    kPrefixSpace,   // a space before a piece that doesn't start with one
    kMetaspace,     // spaces become U+2581, and one is prepended as `prepend` says
    kDigitGroups,   // runs of \p{N} are cut into threes counted from their end, and after the run
    kDigitBorders,  // runs of 0-9 are cut before each three counted from their end
  };
  enum class Prepend { kNever, kFirst, kAlways };
  Kind kind = Kind::kSplit;
  std::string pattern;  // kSplit: regular expression, as PCRE2 with UTF and UCP reads it
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;                 // kSplit: what does not match counts as the match
  Prepend prepend = Prepend::kAlways;  // kMetaspace
};

// A tokenizer.json's own account of its steps. GGUF has none: there `pre` and the kind decide.
struct TextSteps {
  std::vector<NormalizerStep> normalizers;
  std::vector<PreTokenizerStep> pre_tokenizers;
  bool fuse_unknown = false;         // neighbouring unknown characters become one unknown token
  std::vector<TokenId> before_text;  // what the post-processor puts before a text...
  std::vector<TokenId> after_text;   // ...and after it
};

struct Vocabulary {
  TokenizerKind kind = TokenizerKind::kByteLevelBpe;
  std::string pre;                      // `tokenizer.ggml.pre`; empty where the file has none
  std::vector<VocabularyToken> tokens;  // index = id
  std::vector<std::pair<std::string, std::string>>
      merges;  // in rank order; not for kSentencePieceBpe

  std::optional<TokenId> bos, eos, eot, unknown, padding;
  std::vector<TokenId> end_of_generation;  // further ids that end a turn, where the file names them
  std::vector<TokenId> tool_marks;         // CompleteSpecialTokens: of calls in an answer
  // Absent where the file doesn't say: then the tokenizer kind's (and `pre`'s) own default holds.
  std::optional<bool> add_bos, add_eos, add_space_prefix;
  std::optional<bool> remove_extra_whitespaces;
  std::optional<bool> ignore_merges;

  std::optional<TextSteps> steps;  // tokenizer.json only
  std::string model_name;          // GGUF `general.name`: some models are known by it only (Phi-3)
};

}  // namespace potluck::model
