// Ids to text while they are generated. Tokens may hold half a character; people and JSON want
// whole ones, so bytes wait here until their character is complete.
#pragma once

#include <string>

#include "model/tokenizer/tokenizer.h"

namespace potluck::model {

// Gives valid UTF-8 only: bytes that can no longer become a character turn into U+FFFD, one for
// each longest start of a character (Unicode 15, section 3.9, "maximal subpart"). The texts that
// Feed and Flush return, joined, do not depend on how the bytes were spread over tokens.
// Single-threaded; the tokenizer must outlive it.
class StreamDecoder {
 public:
  // For the tokens after a prompt: DecodeOptions{.continuation = true}, which also spells out marks
  // of tools' calls (Tokenizer::AnswerBytes).
  explicit StreamDecoder(const Tokenizer& tokenizer, const DecodeOptions& options = {});

  // The text that became complete with this token; may be empty. Control tokens and ids outside
  // the vocabulary give none (see DecodeOptions::show_control).
  std::string Feed(TokenId id);

  // The rest: an unfinished character becomes U+FFFD. The decoder is then as new, but goes on as a
  // continuation.
  std::string Flush();

 private:
  const Tokenizer& tokenizer_;
  const DecodeOptions options_;
  bool strip_space_;     // the text has not begun, and its first space is not its own
  std::string pending_;  // at most 3 bytes: the start of a character
};

}  // namespace potluck::model
