// Where standard string views meet Abseil: Debian's absl::string_view is a type of its own.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/strings/string_view.h"

namespace potluck {

inline absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view ToStd(absl::string_view text) { return {text.data(), text.size()}; }

// `text` fit for a one-line message: the bytes of control characters (C1's too: terminals obey
// them) and of invalid UTF-8 as \xHH. Cut, with "..." after it, at the first character that begins
// `max_bytes` or more bytes into the result.
std::string Printable(std::string_view text, size_t max_bytes = 120);

// The number of bytes of the UTF-8 character that starts at text[0], or 0 where the bytes are not
// valid UTF-8 (overlong forms, surrogates and cut-off characters included). Writes the code point
// where `code_point` is given.
int DecodeUtf8(std::string_view text, char32_t* code_point = nullptr);

// `text` with U+FFFD in the place of each byte that is not part of valid UTF-8.
std::string ValidUtf8(std::string_view text);

// Appends `code_point` as UTF-8. Values that UTF-8 cannot carry become U+FFFD.
void AppendUtf8(char32_t code_point, std::string& out);

}  // namespace potluck
