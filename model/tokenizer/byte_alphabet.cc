#include "model/tokenizer/byte_alphabet.h"

#include <array>
#include <cstdint>

#include "common/text.h"

namespace potluck::model {
namespace {

constexpr int kCodePoints = 256 + 68;

// Code point to byte, or -1.
constexpr std::array<int16_t, kCodePoints> MakeAlphabet() {
  std::array<int16_t, kCodePoints> alphabet{};
  for (int16_t& byte : alphabet) byte = -1;
  int next = 256;
  for (int16_t byte = 0; byte < 256; ++byte) {
    const bool itself = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    alphabet[itself ? byte : next++] = byte;
  }
  return alphabet;
}

constexpr std::array<int16_t, kCodePoints> kAlphabet = MakeAlphabet();

}  // namespace

std::optional<std::string> BytesFromAlphabet(std::string_view text) {
  std::string bytes;
  while (!text.empty()) {
    char32_t code_point = 0;
    const int length = DecodeUtf8(text, &code_point);
    if (length == 0 || code_point >= kCodePoints || kAlphabet[code_point] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(kAlphabet[code_point]));
    text.remove_prefix(length);
  }
  return bytes;
}

}  // namespace potluck::model
