#include "model/tokenizer/stream_decoder.h"

#include <string_view>

#include "common/text.h"

namespace potluck::model {
namespace {

// How many bytes at the start of `text`, which is no character, are the start of one: as many as
// could still be completed. At least 1.
size_t MaximalSubpart(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  size_t length = 1;
  if (first >= 0xC2 && first <= 0xDF) length = 2;
  if (first >= 0xE0 && first <= 0xEF) length = 3;
  if (first >= 0xF0 && first <= 0xF4) length = 4;
  size_t valid = 1;
  while (valid < length && valid < text.size()) {
    unsigned char low = 0x80, high = 0xBF;
    if (valid == 1) {
      // Overlong forms, surrogates and code points above U+10FFFF show in the second byte.
      if (first == 0xE0) low = 0xA0;
      if (first == 0xED) high = 0x9F;
      if (first == 0xF0) low = 0x90;
      if (first == 0xF4) high = 0x8F;
    }
    if (byte(valid) < low || byte(valid) > high) break;
    ++valid;
  }
  return valid;
}

bool CanGrow(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  return first >= 0xC2 && first <= 0xF4 && text.size() < length &&
         MaximalSubpart(text) == text.size();
}

constexpr std::string_view kReplacement = "\uFFFD";

}  // namespace

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, const DecodeOptions& options)
    : tokenizer_(tokenizer),
      options_(options),
      strip_space_(tokenizer.adds_space_prefix() && !options.continuation) {}

std::string StreamDecoder::Feed(TokenId id) {
  std::string_view bytes =
      options_.continuation ? tokenizer_.AnswerBytes(id) : tokenizer_.TokenBytes(id);
  if (bytes.empty() && options_.show_control && tokenizer_.IsControl(id)) {
    std::string text(pending_.empty() ? std::string_view() : kReplacement);
    pending_.clear();
    text += tokenizer_.TokenText(id);
    return text;
  }
  if (strip_space_ && !bytes.empty()) {
    if (bytes[0] == ' ') bytes.remove_prefix(1);
    strip_space_ = false;
  }
  const std::string all = pending_ + std::string(bytes);
  std::string_view rest = all;
  std::string text;
  while (!rest.empty()) {
    size_t length = DecodeUtf8(rest);
    if (length > 0) {
      text += rest.substr(0, length);
    } else if (CanGrow(rest)) {
      break;
    } else {
      length = MaximalSubpart(rest);
      text += kReplacement;
    }
    rest.remove_prefix(length);
  }
  pending_ = rest;
  return text;
}

std::string StreamDecoder::Flush() {
  std::string text;
  if (!pending_.empty()) text = kReplacement;
  pending_.clear();
  strip_space_ = false;
  return text;
}

}  // namespace potluck::model
