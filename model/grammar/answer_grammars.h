// The grammars of the answers that one stage samples: answers that share a grammar share its masks,
// and so do those that come after, for a while.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "model/grammar/token_masks.h"
#include "model/sampling/sampler.h"

namespace potluck::model {

// One answer's.
class AnswerGrammar {
 public:
  explicit AnswerGrammar(std::shared_ptr<TokenMasks> masks) : masks_(std::move(masks)) {}

  // As TokenMasks' of the answer's text so far.
  std::span<const uint64_t> Allowed(std::span<const TokenId> answer) {
    return masks_->Allowed(answer, cursor_);
  }

 private:
  std::shared_ptr<TokenMasks> masks_;
  TokenMasks::Cursor cursor_;
};

// Thread-compatible, together with all answers' that it has begun.
class AnswerGrammars {
 public:
  using OpenVocabulary = std::function<absl::StatusOr<std::shared_ptr<const TokenTrie>>()>;

  // Asked for the vocabulary once, when the first grammar comes.
  explicit AnswerGrammars(OpenVocabulary open) : open_(std::move(open)) {}

  // Null where the answer has none. InvalidArgument for one that is none.
  absl::StatusOr<std::unique_ptr<AnswerGrammar>> Begin(const SamplingParams& sampling);

 private:
  static constexpr size_t kKept = 4;

  struct Known {
    std::string grammar, after;
    std::shared_ptr<TokenMasks> masks;
  };

  const OpenVocabulary open_;
  std::shared_ptr<const TokenTrie> vocabulary_;
  std::deque<Known> known_;  // last used first
};

// OK for an answer without a grammar, and for one that Begin takes.
absl::Status CheckGrammar(const SamplingParams& sampling);

}  // namespace potluck::model
