// The work that a stage is given: steps and KV commands, in one ordered stream.
//
// A step is a ragged batch of new tokens of any sequences. Prefill chunks, decode tokens, draft
// chains and draft trees are one thing: each token names its parent, sees the sequence's committed
// prefix, its ancestors and itself, and says what is wanted of it. Plain data; wire/ carries it
// between machines.
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "model/tokenizer/vocabulary.h"

namespace potluck::model {

using SequenceId = int64_t;
using InstanceId = int64_t;

// (term, number): the term is raised at each start of the coordinator, the number at each change of
// plan.
struct Epoch {
  int64_t term = 0;
  int64_t number = 0;
  friend auto operator<=>(const Epoch&, const Epoch&) = default;
};

enum class TokenKind : uint8_t {
  kPrompt,     // given
  kGenerated,  // sampled and accepted
  kDraft,      // proposed; its KV stays only if Accept names it
};

enum class Wanted : uint8_t {
  kNothing,
  kSample,
  kLogits,
  kHidden,  // its row after the last norm
};

// The parent of a token that follows its sequence's committed end.
inline constexpr int32_t kCommittedEnd = -1;

struct StepToken {
  SequenceId sequence = 0;
  TokenId id = 0;
  int32_t position = 0;            // from 0, in the text; one more than the parent's
  int32_t parent = kCommittedEnd;  // or an earlier token of this step, by index
  TokenKind kind = TokenKind::kPrompt;
  uint16_t adapter_slot = 0;  // 0: none
  Wanted wanted = Wanted::kNothing;
};

struct Step {
  InstanceId instance = 0;
  Epoch epoch;
  int64_t number = 0;
  // A sequence's tokens stand together, parents before children: first the prompt and generated
  // ones, each the child of the one before, then drafts.
  std::vector<StepToken> tokens;
};

// Forgets all but the first `length` committed tokens.
struct TrimCommand {
  SequenceId sequence = 0;
  int32_t length = 0;
};

// Makes a new sequence of the first `length` committed tokens of another; nothing is copied until
// one of them writes.
struct ForkCommand {
  SequenceId from = 0;
  SequenceId to = 0;
  int32_t length = 0;
};

// Commits drafts of the sequence's last step: `path` counts its drafts from 0, in the order of that
// step, from the committed end downward. The other drafts are forgotten. An empty path forgets all.
struct AcceptCommand {
  SequenceId sequence = 0;
  std::vector<int32_t> path;
};

struct FreeCommand {
  SequenceId sequence = 0;
};

using KvCommand = std::variant<TrimCommand, ForkCommand, AcceptCommand, FreeCommand>;

}  // namespace potluck::model
