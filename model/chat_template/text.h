// A string that knows of each byte whether it is the template's own (trusted) or somebody's.
// Operations count in characters, as Python's do; a byte that is no valid UTF-8 is a character.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace potluck::model::jinja {

struct Text {
  std::string bytes;
  std::string trust;  // as long as bytes; 1 where the byte is trusted, else 0

  Text() = default;
  Text(std::string_view text, bool trusted) : bytes(text), trust(text.size(), trusted ? 1 : 0) {}

  size_t size() const { return bytes.size(); }
  void Append(const Text& other);
  void Append(std::string_view text, bool trusted);
  Text Slice(size_t begin, size_t end) const;  // in bytes; begin <= end <= size()
};

// Where each character begins, and at the end the size.
std::vector<size_t> CharacterOffsets(std::string_view text);
size_t CountCharacters(std::string_view text);

// The character at text[offset] and its bytes; an invalid byte is one character, its own value
// plus 0xDC00, which no other character has.
char32_t CharacterAt(std::string_view text, size_t offset, size_t* bytes);

bool IsSpace(char32_t character);  // as Python's str.isspace
bool IsLetter(char32_t character);
bool IsDigit(char32_t character);

// Removes from the left and/or right: spaces, or the characters of `set` where given.
Text Strip(const Text& text, bool left, bool right, const std::string* set = nullptr);

enum class Case { kLower, kUpper, kTitle, kCapitalize };
Text ChangeCase(const Text& text, Case wanted);

}  // namespace potluck::model::jinja
