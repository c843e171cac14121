#include "model/generation/stop_strings.h"

#include <algorithm>
#include <utility>

namespace potluck::model {

StopStrings::StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)) {
  std::erase(stops_, "");
}

std::string StopStrings::Feed(std::string_view text) {
  if (stopped_) return "";
  held_.append(text);
  size_t first = std::string::npos;
  for (const std::string& stop : stops_) first = std::min(first, held_.find(stop));
  if (first != std::string::npos) {
    stopped_ = true;
    return held_.substr(0, first);
  }
  // The longest end of the text that a stop string begins with.
  size_t held_bytes = 0;
  for (const std::string& stop : stops_) {
    for (size_t length = std::min(stop.size() - 1, held_.size()); length > held_bytes; --length) {
      if (held_.ends_with(std::string_view(stop).substr(0, length))) held_bytes = length;
    }
  }
  std::string shown = held_.substr(0, held_.size() - held_bytes);
  held_.erase(0, shown.size());
  return shown;
}

std::string StopStrings::Flush() { return stopped_ ? "" : std::exchange(held_, ""); }

}  // namespace potluck::model
