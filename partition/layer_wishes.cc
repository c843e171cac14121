#include "partition/layer_wishes.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace potluck::partition {
namespace {

absl::Status WrongForm(std::string_view part) {
  return absl::InvalidArgumentError(absl::StrCat("\"", Printable(part),
                                                 "\" is no wish for layers: write NAME=FIRST-LAST "
                                                 "or NAME=N, layers from 0, with commas between"));
}

bool ParseLayer(std::string_view text, int64_t& layer) {
  const bool digits = !text.empty() && text.find_first_not_of("0123456789") == text.npos;
  return digits && absl::SimpleAtoi(ToAbsl(text), &layer);
}

absl::StatusOr<LayerWish> ParseWish(std::string_view part) {
  const size_t equals = part.rfind('=');
  if (equals == part.npos || equals == 0) return WrongForm(part);
  LayerWish wish{.name = std::string(part.substr(0, equals))};
  const std::string_view range = part.substr(equals + 1);
  const size_t dash = range.find('-');
  if (!ParseLayer(range.substr(0, dash), wish.first)) return WrongForm(part);
  wish.last = wish.first;
  if (dash != range.npos && !ParseLayer(range.substr(dash + 1), wish.last)) return WrongForm(part);
  if (wish.last >= wish.first) return wish;
  return absl::InvalidArgumentError(
      absl::StrCat("\"", Printable(part), "\" ends before it begins"));
}

}  // namespace

absl::StatusOr<LayerWishes> ParseLayerWishes(std::string_view text) {
  LayerWishes wishes;
  while (true) {
    const size_t comma = text.find(',');
    POTLUCK_ASSIGN_OR_RETURN(LayerWish wish, ParseWish(text.substr(0, comma)));
    if (std::ranges::find(wishes, wish.name, &LayerWish::name) != wishes.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("layers are wished for ", Printable(wish.name),
                       " twice: a device holds one contiguous range of them"));
    }
    wishes.push_back(std::move(wish));
    if (comma == text.npos) return wishes;
    text.remove_prefix(comma + 1);
  }
}

absl::StatusOr<LayerWishes> OrderLayerWishes(LayerWishes wishes, int64_t num_layers) {
  std::ranges::stable_sort(wishes, {}, &LayerWish::first);
  int64_t next = 0;
  for (const LayerWish& wish : wishes) {
    if (wish.first > next) break;
    if (wish.first < next) {
      return absl::InvalidArgumentError(
          absl::StrCat("layer ", wish.first, " is wished for twice: see ", Printable(wish.name)));
    }
    if (wish.last >= num_layers) {
      return absl::InvalidArgumentError(
          absl::StrCat("layer ", wish.last, " is wished for on ", Printable(wish.name),
                       ", but the model's layers are 0 to ", num_layers - 1));
    }
    next = wish.last + 1;
  }
  if (next == num_layers) return wishes;
  return absl::InvalidArgumentError(absl::StrCat("layer ", next, " of ", num_layers,
                                                 " is wished for on no device: name one for it"));
}

}  // namespace potluck::partition
