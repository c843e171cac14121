// The text of an answer while its tokens come: whole characters only, and nothing from the first
// stop string on.
#pragma once

#include <string>
#include <vector>

#include "model/generation/stop_strings.h"
#include "model/tokenizer/stream_decoder.h"

namespace potluck::model {

// Thread-compatible; the tokenizer must outlive it.
class AnswerText {
 public:
  AnswerText(const Tokenizer& tokenizer, std::vector<std::string> stops)
      : decoder_(tokenizer, {.continuation = true}), stops_(std::move(stops)) {}

  // What may be shown now that this token is known; may be empty.
  std::string Feed(TokenId id) { return stops_.Feed(decoder_.Feed(id)); }
  // What was held back, once no token follows.
  std::string Finish() {
    std::string rest = stops_.Feed(decoder_.Flush());
    rest += stops_.Flush();
    return rest;
  }
  // A stop string has ended the answer.
  bool stopped() const { return stops_.stopped(); }

 private:
  StreamDecoder decoder_;
  StopStrings stops_;
};

}  // namespace potluck::model
