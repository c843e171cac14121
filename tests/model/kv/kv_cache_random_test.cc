// Thousands of random steps and commands against a model of the KV cache that is a few vectors.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "kernels/reference/reference_backend.h"
#include "model/kv/kv_cache.h"
#include "tests/model/kv/kv_contents.h"
#include "tests/testing/cpu_targets.h"

namespace potluck::model {
namespace {

constexpr int32_t kBlock = kernels::kKvBlockPositions;
constexpr int32_t kWindow = 40;
constexpr int32_t kCapacity = 640;
constexpr int64_t kMaxSequences = 6;
constexpr int64_t kMaxStepTokens = 48;

struct Draft {
  TokenId id;
  int32_t parent;
  uint64_t path;
};

struct Expected {
  uint16_t adapter = 0;
  std::vector<TokenId> tokens;
  std::vector<uint64_t> paths;  // as many as tokens
  std::vector<Draft> drafts;
  std::vector<TokenId> prompt;  // what it was begun with: it grows along it
  int32_t released_blocks = 0;  // that its window layers have given back

  int32_t length() const { return static_cast<int32_t>(tokens.size()); }
  uint64_t last_path() const { return paths.empty() ? adapter : paths.back(); }
  void Push(TokenId id) {
    paths.push_back(PathHash(last_path(), id));
    tokens.push_back(id);
  }
};

int32_t FirstVisibleBlock(int32_t length) { return std::max(0, length + 1 - kWindow) / kBlock; }

struct Shape {
  std::string name;
  std::vector<AttentionKind> layers;
  kernels::DType dtype;
};

void PrintTo(const Shape& shape, std::ostream* out) { *out << shape.name; }

class KvCacheRandomTest : public testing::TestWithParam<Shape> {
 protected:
  void SetUp() override {
    auto cache = KvCache::Create(
        {.layers = GetParam().layers, .num_kv_heads = 2, .head_dim = 32, .window = kWindow},
        {.dtype = GetParam().dtype,
         .capacity = kCapacity,
         .max_sequences = kMaxSequences,
         .max_step_tokens = kMaxStepTokens},
        backend_);
    ASSERT_TRUE(cache.ok()) << cache.status();
    cache_ = *std::move(cache);
    has_window_ =
        std::ranges::find(GetParam().layers, AttentionKind::kWindow) != GetParam().layers.end();
  }

  int Random(int bound) { return static_cast<int>(random_() % bound); }
  SequenceId RandomSequence() {
    return std::next(expected_.begin(), Random(expected_.size()))->first;
  }
  // Few texts and few tokens, so that sequences often begin alike.
  static TokenId TextToken(int text, int32_t position) { return (position * 7 + text) % 5; }

  void Begin() {
    const SequenceId id = next_id_++;
    Expected sequence{.adapter = static_cast<uint16_t>(Random(2))};
    const int text = Random(3);
    std::vector<TokenId> prompt(1 + Random(200));
    for (size_t i = 0; i < prompt.size(); ++i) prompt[i] = TextToken(text, static_cast<int>(i));
    if (Random(2) == 0) prompt[Random(prompt.size())] = 9;
    const auto known = cache_->Begin(id, prompt, sequence.adapter);
    if (expected_.size() == kMaxSequences) {
      EXPECT_EQ(known.status().code(), absl::StatusCode::kResourceExhausted);
      return;
    }
    ASSERT_TRUE(known.ok()) << known.status();
    ASSERT_LT(*known, static_cast<int32_t>(prompt.size()));
    ASSERT_EQ(*known % kBlock, 0);
    num_reused_ += *known;
    for (int32_t i = 0; i < *known; ++i) sequence.Push(prompt[i]);
    sequence.prompt = prompt;
    sequence.released_blocks = FirstVisibleBlock(*known);
    expected_[id] = sequence;
  }

  // Tokens of one sequence for a step, and what each of them sees.
  void AddToStep(SequenceId id, int room, Step& step, std::vector<std::vector<uint64_t>>& paths) {
    const Expected& sequence = expected_[id];
    const int plain = std::min(room, Random(4) == 0 ? Random(40) : Random(3));
    const int drafts = std::min(room - plain, std::max(0, Random(12) - 4));
    const int text = Random(3);
    const auto begin = static_cast<int32_t>(step.tokens.size());
    for (int i = 0; i < plain + drafts; ++i) {
      const bool draft = i >= plain;
      int32_t parent = i == 0 ? kCommittedEnd : begin + i - 1;
      if (draft && Random(2) == 0) {  // a branch: below the last plain token or any draft
        parent = begin + plain - 1 + Random(i - plain + 1);
        if (parent < begin) parent = kCommittedEnd;
      }
      std::vector<uint64_t> path = parent == kCommittedEnd ? sequence.paths : paths[parent];
      const auto position = static_cast<int32_t>(path.size());
      const bool along_prompt = position < static_cast<int32_t>(sequence.prompt.size());
      const TokenId token = draft && Random(4) == 0 ? 9
                            : along_prompt          ? sequence.prompt[position]
                                                    : TextToken(text, position);
      path.push_back(PathHash(path.empty() ? sequence.adapter : path.back(), token));
      paths.push_back(std::move(path));
      step.tokens.push_back({.sequence = id,
                             .id = token,
                             .position = position,
                             .parent = parent,
                             .kind = draft            ? TokenKind::kDraft
                                     : Random(2) == 0 ? TokenKind::kPrompt
                                                      : TokenKind::kGenerated,
                             .adapter_slot = sequence.adapter});
    }
  }

  // Positions that the pool must have room for if this step is taken.
  int64_t PositionsHeldWith(const Step& step) const {
    int64_t held = 0;
    for (const auto& [id, sequence] : expected_) {
      const auto in_step = std::ranges::count(step.tokens, id, &StepToken::sequence);
      const auto drafts = static_cast<int64_t>(sequence.drafts.size());
      held += sequence.length() + (in_step > 0 ? in_step : drafts);
    }
    return held;
  }

  void RunStep(bool all_sequences) {
    Step step;
    std::vector<std::vector<uint64_t>> paths;
    std::vector<SequenceId> ids;
    for (const auto& [id, sequence] : expected_) ids.push_back(id);
    std::ranges::shuffle(ids, random_);
    for (const SequenceId id : ids) {
      if (all_sequences || Random(2) == 0)
        AddToStep(id, static_cast<int>(kMaxStepTokens - step.tokens.size()), step, paths);
    }
    const int64_t used = cache_->num_used_blocks();
    const absl::Status placed = cache_->Place(step);
    if (placed.code() == absl::StatusCode::kResourceExhausted) {
      EXPECT_GT(PositionsHeldWith(step), kCapacity) << placed;
      EXPECT_EQ(cache_->num_used_blocks(), used);
      ++num_full_;
      Free(RandomSequence());
      return;
    }
    ASSERT_TRUE(placed.ok()) << placed;
    for (size_t i = 0; i < paths.size(); ++i) WriteRow(*cache_, i, paths[i].back());
    for (size_t i = 0; i < paths.size(); ++i) {
      if (all_sequences || Random(8) == 0 || i + 1 == paths.size()) {
        ASSERT_TRUE(SeesPath(*cache_, i, paths[i]));
      }
    }
    cache_->Commit(step);
    ExpectCommitted(step, paths);
  }

  void ExpectCommitted(const Step& step, const std::vector<std::vector<uint64_t>>& paths) {
    std::map<int32_t, int32_t> draft_number;  // by index in the step
    SequenceId last = -1;
    for (size_t i = 0; i < step.tokens.size(); ++i) {
      const StepToken& token = step.tokens[i];
      Expected& sequence = expected_[token.sequence];
      if (token.sequence != last) sequence.drafts.clear();
      last = token.sequence;
      if (token.kind != TokenKind::kDraft) {
        sequence.Push(token.id);
        continue;
      }
      const auto parent = draft_number.find(token.parent);
      draft_number[static_cast<int32_t>(i)] = static_cast<int32_t>(sequence.drafts.size());
      sequence.drafts.push_back(
          {token.id, parent == draft_number.end() ? -1 : parent->second, paths[i].back()});
    }
    for (auto& [id, sequence] : expected_) MoveWindow(sequence);
  }

  static void MoveWindow(Expected& sequence) {
    sequence.released_blocks =
        std::max(sequence.released_blocks, FirstVisibleBlock(sequence.length()));
  }

  void Accept() {
    const SequenceId id = RandomSequence();
    Expected& sequence = expected_[id];
    AcceptCommand accept{.sequence = id, .path = {}};
    int32_t parent = -1;
    for (int32_t i = 0; i < static_cast<int32_t>(sequence.drafts.size()); ++i) {
      if (sequence.drafts[i].parent == parent && Random(4) != 0) {
        accept.path.push_back(i);
        parent = i;
      }
    }
    if (Random(8) == 0) {  // spoilt: a draft that is none, or does not follow
      accept.path.push_back(Random(2) == 0 ? -1 : static_cast<int32_t>(sequence.drafts.size()));
      EXPECT_EQ(cache_->Apply(accept).code(), absl::StatusCode::kInvalidArgument);
      return;
    }
    ASSERT_TRUE(cache_->Apply(accept).ok());
    for (const int32_t draft : accept.path) {
      sequence.Push(sequence.drafts[draft].id);
      ASSERT_EQ(sequence.last_path(), sequence.drafts[draft].path);
    }
    num_accepted_ += static_cast<int64_t>(accept.path.size());
    sequence.drafts.clear();
    MoveWindow(sequence);
  }

  bool InReach(const Expected& sequence, int32_t length) const {
    const int32_t first = FirstVisibleBlock(length);
    return !has_window_ || first * kBlock >= length || first >= sequence.released_blocks;
  }

  void Trim() {
    const SequenceId id = RandomSequence();
    Expected& sequence = expected_[id];
    const int32_t length = Random(2) == 0 ? Random(sequence.length() + 1)
                                          : std::max(0, sequence.length() - Random(12));
    const absl::Status trimmed = cache_->Apply(TrimCommand{.sequence = id, .length = length});
    if (!InReach(sequence, length)) {
      EXPECT_EQ(trimmed.code(), absl::StatusCode::kFailedPrecondition);
      return;
    }
    ASSERT_TRUE(trimmed.ok()) << trimmed;
    sequence.tokens.resize(length);
    sequence.paths.resize(length);
    sequence.drafts.clear();
    sequence.released_blocks = std::min(sequence.released_blocks, (length + kBlock - 1) / kBlock);
  }

  void Fork() {
    const SequenceId from = RandomSequence(), to = next_id_++;
    const Expected& sequence = expected_[from];
    const int32_t length = Random(2) == 0 ? sequence.length() : Random(sequence.length() + 1);
    const absl::Status forked =
        cache_->Apply(ForkCommand{.from = from, .to = to, .length = length});
    if (!InReach(sequence, length)) {
      EXPECT_EQ(forked.code(), absl::StatusCode::kFailedPrecondition);
      return;
    }
    if (expected_.size() == kMaxSequences) {
      EXPECT_EQ(forked.code(), absl::StatusCode::kResourceExhausted);
      return;
    }
    ASSERT_TRUE(forked.ok()) << forked;
    Expected copy = sequence;
    copy.tokens.resize(length);
    copy.paths.resize(length);
    copy.drafts.clear();
    copy.released_blocks = std::min(copy.released_blocks, (length + kBlock - 1) / kBlock);
    expected_[to] = copy;
  }

  void Free(SequenceId id) {
    ASSERT_TRUE(cache_->Apply(FreeCommand{.sequence = id}).ok());
    expected_.erase(id);
  }

  // Nothing of these may change anything; what follows checks that nothing did.
  void Invalid() {
    const SequenceId id = RandomSequence();
    const int32_t length = expected_[id].length();
    const uint16_t adapter = expected_[id].adapter;
    const auto refused = [&](const KvCommand& command) { return cache_->Apply(command).code(); };
    constexpr SequenceId kUnknown = 1 << 20;
    EXPECT_EQ(refused(TrimCommand{id, length + 1}), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(refused(TrimCommand{id, -1}), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(refused(TrimCommand{kUnknown, 0}), absl::StatusCode::kNotFound);
    EXPECT_EQ(refused(ForkCommand{id, kUnknown, length + 1}), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(refused(ForkCommand{kUnknown, id, 0}), absl::StatusCode::kNotFound);
    EXPECT_FALSE(cache_->Apply(ForkCommand{id, id, 0}).ok());
    EXPECT_EQ(refused(AcceptCommand{kUnknown, {}}), absl::StatusCode::kNotFound);
    EXPECT_EQ(refused(FreeCommand{kUnknown}), absl::StatusCode::kNotFound);
    EXPECT_FALSE(cache_->Begin(id, {}).ok());
    // A good run before a bad one: the good one must not be taken either.
    Step step;
    const std::vector<TokenId> ids = {1, 2};
    AppendRun(step, id, length, ids, TokenKind::kGenerated, adapter);
    AppendRun(step, kUnknown, 0, ids, TokenKind::kGenerated);
    EXPECT_EQ(cache_->Place(step).code(), absl::StatusCode::kNotFound);
  }

  void CheckLengths() {
    for (const auto& [id, sequence] : expected_) ASSERT_EQ(*cache_->Length(id), sequence.length());
  }

  kernels::ReferenceBackend backend_;
  std::unique_ptr<KvCache> cache_;
  std::map<SequenceId, Expected> expected_;
  std::mt19937 random_{kernels::TestSeed()};
  SequenceId next_id_ = 1;
  bool has_window_ = false;
  int64_t num_reused_ = 0, num_accepted_ = 0, num_full_ = 0;
};

TEST_P(KvCacheRandomTest, EveryTokenFindsItsPathWhateverHappenedBefore) {
  for (int round = 0; round < 12; ++round) {
    for (int i = 0; i < 300 && !HasFatalFailure(); ++i) {
      SCOPED_TRACE(testing::Message() << "round " << round << ", operation " << i);
      const int choice = expected_.empty() ? 0 : Random(24);
      if (choice < 3) {
        Begin();
      } else if (choice < 14) {
        RunStep(/*all_sequences=*/choice == 3);
      } else if (choice < 18) {
        Accept();
      } else if (choice < 20) {
        Trim();
      } else if (choice < 22) {
        Fork();
      } else if (choice == 22) {
        Invalid();
      } else if (Random(3) == 0) {
        Free(RandomSequence());
      }
      CheckLengths();
    }
    while (!expected_.empty() && !HasFatalFailure()) Free(expected_.begin()->first);
    ASSERT_EQ(cache_->num_used_blocks(), 0) << "blocks have leaked in round " << round;
  }
  EXPECT_GT(num_reused_, 0);
  EXPECT_GT(num_accepted_, 0);
  if (GetParam().layers.front() == AttentionKind::kFull) {
    EXPECT_GT(num_full_, 0) << "the pool was never full";
  }
}

std::vector<Shape> Shapes() {
  using enum AttentionKind;
  std::vector<Shape> shapes;
  for (const kernels::DType dtype :
       {kernels::DType::kF32, kernels::DType::kF16, kernels::DType::kQ8_0}) {
    const std::string type(kernels::Traits(dtype).name);
    shapes.push_back({"full_" + type, {kFull, kFull}, dtype});
    shapes.push_back({"window_" + type, {kWindow}, dtype});
    shapes.push_back({"mixed_" + type, {kFull, kWindow, kWindow}, dtype});
  }
  return shapes;
}

INSTANTIATE_TEST_SUITE_P(All, KvCacheRandomTest, testing::ValuesIn(Shapes()),
                         [](const auto& shape) { return shape.param.name; });

}  // namespace
}  // namespace potluck::model
