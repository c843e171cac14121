// Tells what a reasoning model thinks aloud (<think>...</think>, as DeepSeek R1, Qwen3 and others
// write it) apart from its answer, while the text comes.
#pragma once

#include <string>
#include <string_view>

namespace potluck::model {

inline constexpr std::string_view kThinkOpen = "<think>", kThinkClose = "</think>";

// Thread-compatible.
class ReasoningText {
 public:
  // `opened`: the prompt has written the opening already.
  explicit ReasoningText(bool opened)
      : where_(opened ? Where::kReasoningBegins : Where::kUndecided) {}

  struct Piece {
    std::string reasoning, text;
    bool empty() const { return reasoning.empty() && text.empty(); }
  };
  // The next piece of the whole; what might be a mark's beginning is held back. White space around
  // the marks belongs to neither part.
  Piece Feed(std::string_view text);
  // The text has ended: what was held back.
  Piece Flush();

 private:
  enum class Where { kUndecided, kReasoningBegins, kReasoning, kTextBegins, kText };

  Where where_;
  std::string held_;
};

}  // namespace potluck::model
