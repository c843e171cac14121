// Text to token ids and back, exactly as the model's makers do it: another split of the same text
// is a different input, and the model answers worse without anybody seeing why.
//
// Two algorithms over one frame. The frame: added tokens are cut out of the text first, the rest is
// normalised, cut into pieces, and each piece is merged from its smallest parts upward.
//   SentencePiece-BPE: characters merge by the score of the result; characters without a token
//                      become bytes. (Kudo & Richardson 2018, arXiv:1808.06226; BPE: Sennrich et
//                      al. 2016, arXiv:1508.07909)
//   Byte-level BPE:    bytes (or characters, kCharacterBpe) merge by the rank of the pair; which
//                      pieces are merged alone is decided by regular expressions. (Radford et al.
//                      2019, GPT-2)
// For GGUF files the ids are llama.cpp's, for tokenizer.json those of Hugging Face tokenizers.
//
// Control tokens (<|im_end|>, </s>, ...) are never made from text unless the caller says that the
// text is the model's own: neither by their spelling nor by merges. User-defined tokens (<think>,
// runs of spaces, ...) are ordinary text that the vocabulary wants in one piece; they are
// recognised in all text given to Encode(string_view), and in trusted spans and untrusted ones
// alike.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/tokenizer/text_span.h"
#include "model/tokenizer/vocabulary.h"

namespace potluck::model {

struct EncodeOptions {
  // Put the model's own tokens around the text (BOS, EOS), where the vocabulary asks for them.
  bool add_special = true;
  // The whole text is trusted: spellings of control tokens in it become these tokens. For text
  // that the model's maker wrote, never for a user's. Encode(TextSpans) goes by the spans instead.
  bool parse_control = false;
};

struct DecodeOptions {
  // The ids continue an earlier text (a generation after its prompt): a space at their start is
  // kept. Otherwise the space that SentencePiece vocabularies put before a text is taken off again.
  bool continuation = false;
  // Spell control tokens out instead of leaving them out.
  bool show_control = false;
};

// Thread-safe: nothing changes after Create.
class Tokenizer {
 public:
  // InvalidArgument for a vocabulary that contradicts itself; Unimplemented, naming it and what to
  // do, for a `pre` that is not known. Cost: some hundred nanoseconds per token and merge.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Create(Vocabulary vocabulary);
  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // Any bytes; what is not UTF-8 is encoded byte by byte and comes back from Decode unchanged.
  // ResourceExhausted for a text above 1 GiB, or where a vocabulary's own pattern needs more steps
  // than a sane one does. Cost: O(n log n) in the longest piece.
  absl::StatusOr<std::vector<TokenId>> Encode(std::string_view text,
                                              const EncodeOptions& options = {}) const;

  // A chat template's output. Control tokens are recognised only where they lie within one trusted
  // span (neighbouring trusted spans count as one); user-defined ones everywhere. What lies between
  // two recognised tokens is one text, whatever spans it came from, so that splitting at a span's
  // border never changes the ids. `options.parse_control` is not looked at.
  absl::StatusOr<std::vector<TokenId>> Encode(const TextSpans& spans,
                                              const EncodeOptions& options = {}) const;

  // A text of so many bytes has at least as many ids, whatever it says; 0 where the vocabulary may
  // leave parts of a text out. At once, where Encode takes its time.
  size_t FewestIds(size_t text_bytes) const;

  // The exact bytes, which need not be UTF-8 (StreamDecoder gives text). Ids outside the vocabulary
  // give nothing. Decode(Encode(x)) == x for any bytes x in byte-level BPE without normaliser; for
  // any x without U+2581 and added tokens in SentencePiece vocabularies, of which some put a space
  // after added tokens, too.
  std::string Decode(std::span<const TokenId> ids, const DecodeOptions& options = {}) const;

  // The bytes that `id` stands for in a text, perhaps a part of a UTF-8 character; a space where
  // the vocabulary stores U+2581. Empty for control and unknown tokens and ids outside the
  // vocabulary. Valid while the tokenizer lives.
  std::string_view TokenBytes(TokenId id) const;

  // As TokenBytes, for a token of an answer: those that mark a tool's call ([TOOL_CALLS],
  // <|python_tag|>) are spelled out, control tokens or not, for the call is read from the text.
  std::string_view AnswerBytes(TokenId id) const;

  // The token as the file spells it; empty for ids outside the vocabulary.
  std::string_view TokenText(TokenId id) const;

  // The id whose spelling in the file is `text`, of whatever type.
  std::optional<TokenId> Find(std::string_view text) const;

  size_t vocab_size() const;
  std::optional<TokenId> bos() const;
  std::optional<TokenId> eos() const;
  std::optional<TokenId> eot() const;
  bool IsControl(TokenId id) const;

  // Ids that end a generation: EOS, end of turn, what the file names, and tokens known by their
  // spelling (<|im_end|>, <|eot_id|>, <end_of_turn>, ...). Sorted.
  const std::vector<TokenId>& end_of_generation() const;
  bool IsEndOfGeneration(TokenId id) const;

  // Whether Encode's add_special puts BOS first (so that a template's own BOS is not doubled).
  bool adds_bos() const;
  // Whether a text gets a leading space that Decode takes off again.
  bool adds_space_prefix() const;

  // What a person should know about this vocabulary, one line each: a missing `pre`, missing byte
  // tokens, a special id out of range.
  const std::vector<std::string>& warnings() const;

 private:
  struct Parts;
  explicit Tokenizer(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> parts_;
};

}  // namespace potluck::model
