// Which tokens begin a text, end it, or end a turn. Files say it incompletely, so the spellings
// that model families use are known here, as llama.cpp knows them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "model/tokenizer/vocabulary.h"

namespace potluck::model {

// Completes `vocabulary` in place: special ids out of range are dropped with a warning; for
// SentencePiece vocabularies without them bos, eos and unknown are 1, 2 and 0; eot is found by its
// spelling; tokens that are spelled as ends of a turn become control tokens, so that no text can
// contain them. end_of_generation is then complete and sorted, tool_marks complete.
void CompleteSpecialTokens(Vocabulary& vocabulary, std::vector<std::string>& warnings);

}  // namespace potluck::model
