#include "model/chat_template/text.h"

#include <utf8proc.h>

#include <algorithm>

#include "common/text.h"

namespace potluck::model::jinja {

void Text::Append(const Text& other) {
  bytes += other.bytes;
  trust += other.trust;
}

void Text::Append(std::string_view text, bool trusted) {
  bytes += text;
  trust.append(text.size(), trusted ? 1 : 0);
}

Text Text::Slice(size_t begin, size_t end) const {
  Text slice;
  slice.bytes = bytes.substr(begin, end - begin);
  slice.trust = trust.substr(begin, end - begin);
  return slice;
}

char32_t CharacterAt(std::string_view text, size_t offset, size_t* bytes) {
  char32_t character = 0;
  const int length = DecodeUtf8(text.substr(offset), &character);
  *bytes = length == 0 ? 1 : length;
  return length == 0 ? 0xDC00 + static_cast<unsigned char>(text[offset]) : character;
}

std::vector<size_t> CharacterOffsets(std::string_view text) {
  std::vector<size_t> offsets;
  offsets.reserve(text.size() + 1);
  size_t length = 0;
  for (size_t i = 0; i < text.size(); i += length) {
    offsets.push_back(i);
    CharacterAt(text, i, &length);
  }
  offsets.push_back(text.size());
  return offsets;
}

size_t CountCharacters(std::string_view text) {
  size_t count = 0, length = 0;
  for (size_t i = 0; i < text.size(); i += length, ++count) CharacterAt(text, i, &length);
  return count;
}

bool IsSpace(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

bool IsLetter(char32_t c) {
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool IsDigit(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c)) == UTF8PROC_CATEGORY_ND || c == 0xB2 ||
         c == 0xB3 || c == 0xB9 || (c >= 0x2070 && c <= 0x2089);
}

Text Strip(const Text& text, bool left, bool right, const std::string* set) {
  std::vector<char32_t> characters;
  if (set != nullptr) {
    size_t length = 0;
    for (size_t i = 0; i < set->size(); i += length) {
      characters.push_back(CharacterAt(*set, i, &length));
    }
    std::sort(characters.begin(), characters.end());
  }
  const auto strips = [&](char32_t c) {
    return set == nullptr ? IsSpace(c)
                          : std::binary_search(characters.begin(), characters.end(), c);
  };
  size_t begin = 0, end = text.size(), length = 0;
  while (left && begin < end && strips(CharacterAt(text.bytes, begin, &length))) begin += length;
  while (right && end > begin) {
    size_t last = end - 1;
    while (last > begin && end - last < 4 && (text.bytes[last] & 0xC0) == 0x80) --last;
    if (CharacterAt(text.bytes, last, &length); last + length != end) last = end - 1;
    if (!strips(CharacterAt(text.bytes, last, &length))) break;
    end = last;
  }
  return text.Slice(begin, end);
}

Text ChangeCase(const Text& text, Case wanted) {
  Text result;
  bool in_word = false;
  size_t length = 0;
  for (size_t i = 0; i < text.size(); i += length) {
    const char32_t character = CharacterAt(text.bytes, i, &length);
    const auto code = static_cast<utf8proc_int32_t>(character);
    if (character >= 0xDC00 && character <= 0xDCFF) {
      result.Append(text.bytes.substr(i, 1), text.trust[i]);
      continue;
    }
    const bool upper = wanted == Case::kUpper || (wanted == Case::kTitle && !in_word) ||
                       (wanted == Case::kCapitalize && i == 0);
    std::string changed;
    if (upper && character == 0xDF) {
      changed.append(wanted == Case::kUpper ? "SS" : "Ss", 2);
    } else {
      AppendUtf8(upper ? utf8proc_toupper(code) : utf8proc_tolower(code), changed);
    }
    result.Append(changed, text.trust[i]);
    in_word = IsLetter(character);
  }
  return result;
}

}  // namespace potluck::model::jinja
