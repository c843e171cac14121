#include "tests/testing/model_runner.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/status_macros.h"

namespace potluck::model {

absl::StatusOr<std::vector<float>> RunTokens(DecoderStage& stage, SequenceId sequence,
                                             std::span<const TokenId> ids, int64_t chunk) {
  const int64_t vocab_size = stage.config().vocab_size;
  std::vector<float> logits;
  for (size_t done = 0; done < ids.size();) {
    const auto now = std::min<size_t>(chunk, ids.size() - done);
    POTLUCK_ASSIGN_OR_RETURN(const int32_t committed, stage.kv().Length(sequence));
    Step step;
    for (size_t i = 0; i < now; ++i) {
      step.tokens.push_back({.sequence = sequence,
                             .id = ids[done + i],
                             .position = static_cast<int32_t>(committed + i),
                             .parent = static_cast<int32_t>(i) - 1,
                             .wanted = Wanted::kLogits});
    }
    POTLUCK_RETURN_IF_ERROR(stage.Run(step));
    const size_t before = logits.size();
    logits.resize(before + now * vocab_size);
    for (size_t i = 0; i < now; ++i) {
      POTLUCK_RETURN_IF_ERROR(stage.ReadLogits(
          static_cast<int64_t>(i), std::span(logits).subspan(before + i * vocab_size, vocab_size)));
    }
    done += now;
  }
  return logits;
}

double RelativeError(std::span<const float> actual, std::span<const float> expected) {
  double largest = 0, error = 0;
  if (actual.size() != expected.size()) return std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < expected.size(); ++i) {
    if (!std::isfinite(actual[i])) return std::numeric_limits<double>::infinity();
    largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
    error = std::max(error, std::abs(static_cast<double>(actual[i]) - expected[i]));
  }
  return error / largest;
}

}  // namespace potluck::model
