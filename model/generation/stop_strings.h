// Ends a text at the first of some strings, also where a string spans several tokens: text that
// might be the beginning of one is held back until it is clear.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace potluck::model {

// Thread-compatible.
class StopStrings {
 public:
  // Empty strings are left out.
  explicit StopStrings(std::vector<std::string> stops);

  // Takes the next piece of text; returns what may be shown now. Once stopped, nothing more is.
  std::string Feed(std::string_view text);
  // The text has ended otherwise: what was held back.
  std::string Flush();
  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace potluck::model
