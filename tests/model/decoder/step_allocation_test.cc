// A step of a new size allocates nothing: neither by operator new nor, since a host buffer is an
// object too, from a backend.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "model/decoder/decoder_stage.h"
#include "model/model_file.h"
#include "tests/model/decoder/allocation_counter.h"

namespace potluck::model {
namespace {

constexpr int64_t kMaxTokens = 48;

template <typename Work>
int64_t AllocationsOf(const Work& work) {
  absl::Status status;
  int64_t count;
  {
    const AllocationCounter counter;
    status = work();
    count = counter.count();
  }
  EXPECT_TRUE(status.ok()) << status;
  return count;
}

// `plain` tokens and a tree of `drafts` for a sequence of `length`.
void Append(Step& step, SequenceId sequence, int32_t length, int plain, int drafts) {
  const auto begin = static_cast<int32_t>(step.tokens.size());
  for (int32_t i = 0; i < plain + drafts; ++i) {
    // Two drafts share each parent.
    const int32_t above = i < plain ? i - 1 : plain - 1 + (i - plain) / 2;
    const int32_t parent = above < 0 ? kCommittedEnd : begin + above;
    step.tokens.push_back({.sequence = sequence,
                           .id = (length * 5 + i) % 60,
                           .position = above < 0 ? length : step.tokens[parent].position + 1,
                           .parent = parent,
                           .kind = i < plain ? TokenKind::kGenerated : TokenKind::kDraft,
                           .wanted = i % 3 == 0 ? Wanted::kSample : Wanted::kNothing});
  }
}

class StepAllocationTest : public testing::TestWithParam<std::string> {
 protected:
  static void RunRounds(int num_threads, int rounds, int steps);
};

void StepAllocationTest::RunRounds(int num_threads, int rounds, int steps) {
  const auto file = OpenModelFile(POTLUCK_SOURCE_DIR "/tests/golden/" + GetParam());
  ASSERT_TRUE(file.ok() && file->config.ok()) << file.status();
  const auto backend = kernels::CpuBackend::Create({.num_threads = num_threads});
  ASSERT_TRUE(backend.ok()) << backend.status();
  const auto stage = DecoderStage::Load(*file->config, *file->weights, **backend,
                                        {.range = StageRange::Whole(*file->config),
                                         .context_length = 500,
                                         .kv = {.capacity = 1000, .max_sequences = 2},
                                         .max_tokens = kMaxTokens,
                                         .max_outputs = kMaxTokens});
  ASSERT_TRUE(stage.ok()) << stage.status();
  KvCache& kv = (*stage)->kv();
  for (int round = 0; round < rounds; ++round) {
    ASSERT_TRUE(kv.Begin(1, {}).ok());
    ASSERT_TRUE(kv.Begin(2, {}).ok());
    for (int i = 0; i < steps; ++i) {
      const int drafts = 1 + i * 7 % 30;
      Step step;
      Append(step, 2, *kv.Length(2), 1 + (i + round) % 11, 0);
      Append(step, 1, *kv.Length(1), i % 3, drafts);
      const KvCommand accept =
          AcceptCommand{1, drafts > 2 ? std::vector<int32_t>{0, 2} : std::vector<int32_t>{}};
      EXPECT_EQ(AllocationsOf([&] { return (*stage)->Run(step); }), 0)
          << "step " << i << " of round " << round << ", of " << step.tokens.size() << " tokens";
      EXPECT_EQ(AllocationsOf([&] { return kv.Apply(accept); }), 0)
          << "after step " << i << " of round " << round;
    }
    ASSERT_TRUE(kv.Apply(FreeCommand{1}).ok());
    ASSERT_TRUE(kv.Apply(FreeCommand{2}).ok());
  }
}

TEST_P(StepAllocationTest, StepsOfAnySizeAllocateNothing) {
  RunRounds(/*num_threads=*/1, /*rounds=*/12, /*steps=*/30);
}

TEST_P(StepAllocationTest, NorDoThreads) {
  RunRounds(/*num_threads=*/2, /*rounds=*/1, /*steps=*/5);
}

TEST_P(StepAllocationTest, TheCounterCounts) {
  EXPECT_EQ(AllocationsOf([] {
              const std::vector<int> one(3);
              return one.size() == 3 ? absl::OkStatus() : absl::InternalError("");
            }),
            1);
}

INSTANTIATE_TEST_SUITE_P(All, StepAllocationTest,
                         testing::Values("tensor_types/q4_k.gguf",
                                         "architectures/gemma2/model.gguf",
                                         "architectures/qwen3moe/model.gguf"));

}  // namespace
}  // namespace potluck::model
