// The values of `tokenizer.ggml.pre`: how a GGUF file's byte-level BPE cuts a text into pieces.
//
// Facts from llama.cpp's llama-vocab.cpp and unicode.cpp. Where llama.cpp reads a pattern otherwise
// than its author wrote it (\p{Lu} as any letter, say), the pattern here says what llama.cpp does,
// because GGUF files' ids are llama.cpp's. tests/model/tokenizer holds all of them against it.
#pragma once

#include <string_view>
#include <vector>

#include "model/tokenizer/vocabulary.h"

namespace potluck::model {

struct PreTokenizer {
  std::string_view name;
  std::vector<PreTokenizerStep> steps;
  bool ignore_merges = false;
  bool add_bos = false;
  bool characters = false;          // merges run over characters, not over bytes
  bool escape_spaces = false;       // spaces become U+2581 first
  bool whole_newline_runs = false;  // runs of line feeds that are tokens are not merged
};

// Null where `name` is not known.
const PreTokenizer* FindPreTokenizer(std::string_view name);

// All of them, in the table's order.
const std::vector<PreTokenizer>& AllPreTokenizers();

}  // namespace potluck::model
