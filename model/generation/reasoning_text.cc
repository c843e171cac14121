#include "model/generation/reasoning_text.h"

#include <algorithm>

namespace potluck::model {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

// Leaves what comes after leading white space; whether there is any.
bool SkipSpace(std::string& text) {
  text.erase(0, std::min(text.find_first_not_of(kSpace), text.size()));
  return !text.empty();
}

// Where the closing mark is, or where the text ends in what may become one.
size_t FindClose(std::string_view text) {
  size_t at = text.find(kThinkClose);
  if (at != text.npos) return at;
  at = text.size();
  for (size_t length = std::min(at, kThinkClose.size() - 1); length > 0; --length) {
    if (text.ends_with(kThinkClose.substr(0, length))) return at - length;
  }
  return at;
}

}  // namespace

ReasoningText::Piece ReasoningText::Feed(std::string_view text) {
  Piece piece;
  held_ += text;
  if (where_ == Where::kUndecided) {
    const size_t begin = std::min(held_.find_first_not_of(kSpace), held_.size());
    const std::string_view said = std::string_view(held_).substr(begin);
    if (said.size() < kThinkOpen.size() && kThinkOpen.starts_with(said)) return piece;
    const bool opens = said.starts_with(kThinkOpen);
    if (opens) held_.erase(0, begin + kThinkOpen.size());
    where_ = opens ? Where::kReasoningBegins : Where::kText;
  }
  if (where_ == Where::kReasoningBegins) {
    if (!SkipSpace(held_)) return piece;
    where_ = Where::kReasoning;
  }
  if (where_ == Where::kReasoning) {
    const size_t close = FindClose(held_);
    const bool closed = held_.compare(close, kThinkClose.size(), kThinkClose) == 0;
    const size_t end = held_.substr(0, close).find_last_not_of(kSpace) + 1;
    piece.reasoning = held_.substr(0, end);
    held_.erase(0, closed ? close + kThinkClose.size() : end);
    if (!closed) return piece;
    where_ = Where::kTextBegins;
  }
  if (where_ == Where::kTextBegins) {
    if (!SkipSpace(held_)) return piece;
    where_ = Where::kText;
  }
  piece.text.swap(held_);
  return piece;
}

ReasoningText::Piece ReasoningText::Flush() {
  Piece piece;
  (where_ == Where::kReasoning ? piece.reasoning : piece.text).swap(held_);
  return piece;
}

}  // namespace potluck::model
