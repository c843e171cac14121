// Text whose parts are known to be the model's own (a chat template's) or somebody's (a user's, a
// document's). Only trusted parts may become control tokens; that is what keeps a user's
// "<|im_end|>" from ending a turn.
#pragma once

#include <string>
#include <vector>

namespace potluck::model {

struct TextSpan {
  std::string text;
  bool trusted = false;
};

using TextSpans = std::vector<TextSpan>;

}  // namespace potluck::model
