// GPT-2's byte alphabet: vocabularies store each byte as one printable character, so that a token
// is always text. Bytes 33..126, 161..172 and 174..255 are their own code points; the other 68, in
// order, are U+0100, U+0101, ... Source: GPT-2's encoder; docs/formats.md.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace potluck::model {

// The bytes that `text` spells, or none where it holds a character outside the alphabet.
std::optional<std::string> BytesFromAlphabet(std::string_view text);

}  // namespace potluck::model
