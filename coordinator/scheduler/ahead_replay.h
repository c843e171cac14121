// A planned change fills its new stages while the old epoch still serves: what has been said so far
// is computed there ahead of the fence, so that nearly nothing is left to replay after it.
//
// Sequences go one after another, the oldest first, up to where they stood when the change was
// prepared, then, in further rounds, what has been said meanwhile. Stages that serve already
// compute nothing: they pass on the rows that they have kept.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "wire/messages.h"

namespace potluck::coordinator {

// Thread-compatible; a pure state machine, without links or a clock.
class AheadReplay {
 public:
  struct Item {
    wire::SequenceStart start;
    std::vector<model::TokenId> tokens;
    model::SequenceId fork_from = 0;  // an earlier item's: has the first `begin` positions
    int32_t begin = 0;
    bool begun = false;  // the stages have the first `begin` positions from an earlier round
  };

  AheadReplay(model::InstanceId instance, const model::Epoch& epoch,
              std::vector<int32_t> computing_stages, std::vector<Item> items);

  // The next frame of at most `max_tokens`, unless `max_in_flight` are on their way already.
  std::optional<wire::StageFrame> ComposeNext(int64_t max_tokens, int64_t max_in_flight);
  // An error: the stages are of no use any more in this epoch.
  absl::Status OnResult(const wire::StepResult& result);
  // A further round.
  void Add(std::vector<Item> items);
  // Positions of a sequence that have been sent; nothing where it was not begun.
  std::optional<int32_t> sent(model::SequenceId sequence) const;
  // Nothing more is composed.
  void Stop() { items_.clear(); }

  bool done() const { return items_.empty() && in_flight_ == 0; }
  const model::Epoch& epoch() const { return epoch_; }
  int64_t next_number() const { return next_number_; }
  int64_t num_tokens() const { return num_tokens_; }

 private:
  model::InstanceId instance_;
  model::Epoch epoch_;
  std::vector<int32_t> computing_stages_;
  std::deque<Item> items_;
  int32_t position_ = 0;  // of the first item
  int64_t next_number_ = 1;
  int64_t in_flight_ = 0;
  int64_t num_tokens_ = 0;
  std::map<model::SequenceId, int32_t> sent_;
};

}  // namespace potluck::coordinator
