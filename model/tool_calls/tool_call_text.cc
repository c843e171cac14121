#include "model/tool_calls/tool_call_text.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "model/bounded_json.h"

namespace potluck::model {
namespace {

using nlohmann::ordered_json;

constexpr std::string_view kSpace = " \t\r\n";
constexpr std::string_view kHermesClose = "</tool_call>";
constexpr size_t kLongestName = 256;
constexpr std::string_view kPythonTag = "<|python_tag|>";  // Llama 3's, before some calls

enum class Match { kNo, kMore, kYes };

void SkipSpace(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
}

// Takes `token`, and white space before it, off the text. kMore: it may still come.
Match Take(std::string_view& text, std::string_view token) {
  SkipSpace(text);
  if (text.size() < token.size()) return token.starts_with(text) ? Match::kMore : Match::kNo;
  if (!text.starts_with(token)) return Match::kNo;
  text.remove_prefix(token.size());
  return Match::kYes;
}

Match TakeAll(std::string_view& text, std::initializer_list<std::string_view> tokens) {
  for (const std::string_view token : tokens) {
    if (const Match match = Take(text, token); match != Match::kYes) return match;
  }
  return Match::kYes;
}

// {"name": "...", "arguments": up to the arguments, which are an object.
Match TakeHead(std::string_view& text, std::string_view& name) {
  if (const Match match = TakeAll(text, {"{", "\"name\"", ":", "\""}); match != Match::kYes)
    return match;
  const size_t end = text.find_first_of("\"\\");
  if (end == text.npos) return text.size() < kLongestName ? Match::kMore : Match::kNo;
  if (text[end] == '\\' || end == 0) return Match::kNo;
  name = text.substr(0, end);
  text.remove_prefix(end + 1);
  if (const Match match = Take(text, ","); match != Match::kYes) return match;
  Match best = Match::kNo;
  for (const std::string_view key : {"\"arguments\"", "\"parameters\""}) {
    std::string_view rest = text;
    const Match match = TakeAll(rest, {key, ":", "{"});
    if (match == Match::kNo) continue;
    best = match;
    if (match == Match::kYes) text.remove_prefix(text.size() - rest.size() - 1);
  }
  return best;
}

// Whether an object that begins so may be a call. Not known yet: it may.
bool MayBeCall(std::string_view object) {
  object.remove_prefix(1);
  SkipSpace(object);
  return std::ranges::any_of(
      std::initializer_list<std::string_view>{"\"name\"", "\"type\"", "\"function\"", "\"id\"",
                                              "\"arguments\"", "\"parameters\""},
      [object](std::string_view key) {
        return object.starts_with(key) || key.starts_with(object);
      });
}

struct WholeCall {
  std::string name, arguments;
};

std::optional<WholeCall> ReadCall(std::string_view text) {
  if (!ParseBoundedJson(text).ok()) return std::nullopt;
  ordered_json call = ordered_json::parse(text);
  if (const auto function = call.find("function");
      function != call.end() && function->is_object()) {
    ordered_json inner = *function;
    call = std::move(inner);
  }
  const auto name = call.find("name");
  if (name == call.end() || !name->is_string() || *name == "") return std::nullopt;
  for (const char* key : {"arguments", "parameters"}) {
    const auto arguments = call.find(key);
    if (arguments == call.end()) continue;
    if (arguments->is_object())
      return WholeCall{name->get<std::string>(),
                       arguments->dump(-1, ' ', false, ordered_json::error_handler_t::replace)};
    if (arguments->is_string())
      return WholeCall{name->get<std::string>(), arguments->get<std::string>()};
  }
  return std::nullopt;
}

// By how much of `mark` the text ends.
size_t BegunMark(std::string_view text, std::string_view mark) {
  size_t length = std::min(text.size(), mark.size() - 1);
  while (!text.ends_with(mark.substr(0, length))) --length;
  return length;
}

}  // namespace

std::pair<size_t, bool> ToolCallText::JsonEnd::Scan(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string_) {
      if (escaped_) {
        escaped_ = false;
      } else if (c == '\\') {
        escaped_ = true;
      } else if (c == '"') {
        in_string_ = false;
      }
    } else if (c == '"') {
      in_string_ = true;
    } else if (c == '{' || c == '[') {
      ++depth_;
    } else if ((c == '}' || c == ']') && --depth_ <= 0) {
      return {i + 1, true};
    }
  }
  return {text.size(), false};
}

ToolCallText::ToolCallText(ToolFormat format, std::vector<std::string> names)
    : syntax_(SyntaxOf(format)),
      format_(format),
      names_(std::move(names)),
      where_(syntax_.opens_answer ? Where::kStart : Where::kText) {}

ToolCallText::Piece ToolCallText::Feed(std::string_view text) {
  Piece piece;
  held_ += text;
  while (Step(piece)) {
  }
  return piece;
}

ToolCallText::Piece ToolCallText::Flush() {
  Piece piece;
  // After a call what is no text yet is white space, or a further call that was cut off.
  const bool only_space = held_.find_first_not_of(kSpace) == held_.npos;
  if (num_calls_ == 0 || (where_ == Where::kText && !only_space)) piece.text.swap(held_);
  held_.clear();
  return piece;
}

bool ToolCallText::Step(Piece& piece) {
  switch (where_) {
    case Where::kStart:
      return Start();
    case Where::kText:
      return Text(piece);
    case Where::kBetween:
      return Between(piece);
    case Where::kCall:
      return BeginCall(piece);
    case Where::kArguments:
      return Arguments(piece);
    case Where::kCallEnd:
      return EndCall();
  }
  return false;
}

bool ToolCallText::Start() {
  std::string_view rest = held_;
  Match match = Match::kYes;
  if (format_ == ToolFormat::kLlama3) {
    if (Take(rest, kPythonTag) == Match::kMore) return false;
    std::string_view object = rest;
    match = Take(object, "{");
    SkipSpace(rest);
  } else {
    match = TakeAll(rest, {"{", "\"tool_calls\"", ":", "["});
  }
  if (match == Match::kMore) return false;
  where_ = match == Match::kYes ? Where::kBetween : Where::kText;
  at_ = held_.size() - rest.size();
  return true;
}

bool ToolCallText::Text(Piece& piece) {
  size_t end = held_.size();
  size_t mark = held_.npos;
  if (!syntax_.opens_answer) {
    mark = held_.find(syntax_.mark);
    end = mark == held_.npos ? held_.size() - BegunMark(held_, syntax_.mark) : mark;
    end = std::string_view(held_).substr(0, end).find_last_not_of(kSpace) + 1;
  }
  piece.text += held_.substr(0, end);
  held_.erase(0, end);
  if (mark == held_.npos) return false;
  at_ = mark - end + syntax_.mark.size();
  where_ = Where::kBetween;
  return true;
}

bool ToolCallText::Between(Piece& piece) {
  at_ = held_.find_first_not_of(" \t\r\n[,;", at_);
  if (at_ == held_.npos) {
    at_ = held_.size();
    return false;
  }
  if (held_[at_] == '{') {
    end_ = JsonEnd();
    scanned_ = 0;
    where_ = Where::kCall;
    return true;
  }
  std::string_view rest = std::string_view(held_).substr(at_);
  const Match close = format_ == ToolFormat::kHermes    ? Take(rest, kHermesClose)
                      : format_ == ToolFormat::kGeneric ? TakeAll(rest, {"]", "}"})
                                                        : Take(rest, "]");
  if (close == Match::kMore) return false;
  if (close == Match::kNo || num_calls_ == 0) return NoCall(piece);
  held_.erase(0, held_.size() - rest.size());
  where_ = Where::kText;
  return true;
}

bool ToolCallText::BeginCall(Piece& piece) {
  const std::string_view object = std::string_view(held_).substr(at_);
  std::string_view rest = object, name;
  const Match head = TakeHead(rest, name);
  if (head == Match::kMore) return false;
  if (head == Match::kYes && IsKnown(name)) {
    piece.calls.push_back({.index = num_calls_++, .name = std::string(name), .arguments = {}});
    held_.erase(0, held_.size() - rest.size());
    end_ = JsonEnd();
    where_ = Where::kArguments;
    return true;
  }
  const auto [further, complete] = end_.Scan(object.substr(scanned_));
  scanned_ += further;
  const bool may_be_call = !syntax_.opens_answer || MayBeCall(object);
  if (may_be_call && !complete) return false;
  std::optional<WholeCall> call;
  if (may_be_call) call = ReadCall(object.substr(0, scanned_));
  if (!call.has_value() || !IsKnown(call->name)) {
    ++at_;
    return NoCall(piece);
  }
  piece.calls.push_back({.index = num_calls_++, .name = call->name, .arguments = call->arguments});
  held_.erase(0, at_ + scanned_);
  at_ = 0;
  where_ = Where::kBetween;
  return true;
}

bool ToolCallText::Arguments(Piece& piece) {
  const auto [length, complete] = end_.Scan(held_);
  if (length > 0) {
    const int index = num_calls_ - 1;
    if (piece.calls.empty() || piece.calls.back().index != index)
      piece.calls.push_back({.index = index, .name = {}, .arguments = {}});
    piece.calls.back().arguments += held_.substr(0, length);
    held_.erase(0, length);
  }
  if (!complete) return false;
  end_ = JsonEnd(1);
  where_ = Where::kCallEnd;
  return true;
}

bool ToolCallText::EndCall() {
  const auto [length, complete] = end_.Scan(held_);
  held_.erase(0, length);
  if (!complete) return false;
  at_ = 0;
  where_ = Where::kBetween;
  return true;
}

bool ToolCallText::NoCall(Piece& piece) {
  piece.text += held_.substr(0, at_);
  held_.erase(0, at_);
  where_ = Where::kText;
  return true;
}

bool ToolCallText::IsKnown(std::string_view name) const {
  return !syntax_.opens_answer || std::ranges::find(names_, name) != names_.end();
}

}  // namespace potluck::model
