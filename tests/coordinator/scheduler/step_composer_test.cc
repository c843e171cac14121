// What goes into each step, and how many are under way.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <set>
#include <tuple>

#include "tests/coordinator/scheduler/scheduler_rig.h"

namespace potluck::coordinator {
namespace {

using Rig = SchedulerRig;

int64_t Tokens(const wire::StageFrame& frame, model::TokenKind kind) {
  return std::ranges::count(frame.step.tokens, kind, &model::StepToken::kind);
}

// A rig with `count` sequences that decode for long, their prompts done.
std::vector<model::SequenceId> Decoding(Rig& rig, int count) {
  std::vector<model::SequenceId> ids;
  for (int i = 0; i < count; ++i) ids.push_back(rig.Submit(Rig::Prompt(3, 100 + i), 1000));
  const auto begun = [&](model::SequenceId id) { return !rig.outcome(id).tokens.empty(); };
  while (!std::ranges::all_of(ids, begun)) rig.RunSteps(1);
  return ids;
}

TEST(StepComposerTest, IsReadyOnceARealTokenHasPassedThroughEveryStage) {
  Rig rig(Rig::Model(), Rig::Shape(3));
  const model::SequenceId id = rig.Submit(Rig::Prompt(40, 1), 5);
  const auto probe = rig.Compose();
  ASSERT_TRUE(probe);
  EXPECT_EQ(probe->step.number, 1);
  ASSERT_EQ(probe->step.tokens.size(), 1u);
  EXPECT_EQ(probe->step.tokens[0].wanted, model::Wanted::kSample);
  EXPECT_FALSE(rig.Compose()) << "nothing follows the probe until it is back";
  EXPECT_FALSE(rig.scheduler().ready());
  ASSERT_TRUE(rig.Return());
  EXPECT_TRUE(rig.scheduler().ready());
  rig.RunAll();
  rig.ExpectDone(id);
  rig.ExpectNothingHeldButKept();
}

TEST(StepComposerTest, APromptsProgressIsToldUntilItsFirstToken) {
  Rig rig(Rig::Model(), Rig::Shape(2));
  const std::vector<model::TokenId> begin = Rig::Prompt(320, 1);
  const model::SequenceId first = rig.Submit(begin, 20);
  rig.RunAll();
  const model::SequenceId second = rig.Submit(Rig::Prompt(2000, 2, begin), 20);
  rig.RunAll();
  for (const auto& [id, cached, length] :
       {std::tuple(first, 0, 320), std::tuple(second, 320, 2320)}) {
    const std::vector<int32_t>& progress = rig.outcome(id).progress;
    ASSERT_GE(progress.size(), 2u);
    EXPECT_EQ(progress.front(), cached);
    EXPECT_EQ(progress.back(), length);
    EXPECT_TRUE(std::ranges::is_sorted(progress, std::less_equal<>())) << "it never goes back";
    EXPECT_EQ(rig.outcome(id).cached_tokens, cached);
  }
  EXPECT_GT(rig.outcome(second).progress.size(), 3u);
}

TEST(StepComposerTest, AtMostOneStepMoreThanStagesIsInFlight) {
  for (const int stages : {1, 2, 5}) {
    Rig rig(Rig::Model(), Rig::Shape(stages));
    rig.RunSteps(1);
    rig.Submit(Rig::Prompt(4000, 1), 5);
    EXPECT_EQ(rig.ComposeAll(), stages + 1);
    EXPECT_EQ(rig.scheduler().num_in_flight(), stages + 1);
  }
}

TEST(StepComposerTest, ALongPromptsChunksFillThePipeline) {
  Rig rig(Rig::Model(), Rig::Shape(4));
  rig.RunSteps(1);
  rig.Submit(Rig::Prompt(3000, 1), 5);
  int32_t next = 0;
  for (int i = 0; i < 5; ++i) {
    const auto frame = rig.Compose();
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->step.tokens.front().position, next);
    EXPECT_GE(frame->step.tokens.size(), 64u) << "too small to be efficient";
    EXPECT_LE(frame->step.tokens.size(), 3000u / 32 + 1) << "too large to keep 4 stages busy";
    next += static_cast<int32_t>(frame->step.tokens.size());
  }
}

TEST(StepComposerTest, DecodeNeverWaitsForALongPrompt) {
  Rig rig(Rig::Model(), Rig::Shape(2));
  const model::SequenceId talker = Decoding(rig, 1)[0];
  const model::SequenceId reader = rig.Submit(Rig::Prompt(3000, 1), 5);
  size_t had = rig.outcome(talker).tokens.size();
  for (int round = 0; rig.outcome(reader).tokens.empty(); ++round) {
    ASSERT_LT(round, 200) << "the prompt does not come to its end";
    // Of all steps that wait, one carries its next token, in front.
    int carrying = static_cast<int>(rig.outcome(talker).tokens.size() - had);
    for (auto frame = rig.Compose(); frame; frame = rig.Compose())
      EXPECT_LE(Tokens(*frame, model::TokenKind::kPrompt), 50) << "more than 50 ms of a stage";
    for (int i = 0; i < 3 && rig.Return(); ++i) ++carrying;
    EXPECT_GT(rig.outcome(talker).tokens.size(), had) << "no token in num_stages + 1 steps";
    had = rig.outcome(talker).tokens.size();
    EXPECT_GT(carrying, 0);
  }
}

TEST(StepComposerTest, DecodingSequencesAreSharedOutAmongTheStages) {
  Rig rig(Rig::Model(), Rig::Shape(4));
  const auto ids = Decoding(rig, 8);
  rig.RunSteps(40);
  std::set<model::SequenceId> seen;
  for (int i = 0; i < 8; ++i) {
    const auto frame = rig.Compose();
    if (frame) {
      EXPECT_EQ(frame->step.tokens.size(), 2u);
    }
    rig.Return();
  }
  for (const model::SequenceId id : ids) {
    const size_t count = rig.outcome(id).tokens.size();
    EXPECT_LE(count, rig.outcome(ids[0]).tokens.size() + 2) << "unfair to the first";
    EXPECT_GE(count + 2, rig.outcome(ids[0]).tokens.size()) << "unfair to " << id;
  }
}

TEST(StepComposerTest, AShortPromptsFirstTokenDoesNotWaitForALongPrompt) {
  Rig rig(Rig::Model(), Rig::Shape(2));
  Decoding(rig, 1);
  const model::SequenceId slow = rig.Submit(Rig::Prompt(4000, 1), 5);
  rig.RunSteps(5);
  const model::SequenceId quick = rig.Submit(Rig::Prompt(20, 2), 5);
  int steps = 0;
  for (; rig.outcome(quick).tokens.empty() && steps < 100; ++steps) rig.RunSteps(1);
  EXPECT_LE(steps, 2 * (2 + 1) + 1) << "what was in flight, and its own step";
  EXPECT_TRUE(rig.outcome(slow).tokens.empty());
}

TEST(StepComposerTest, TheOldestPromptGetsAtLeastHalfOfEachStep) {
  Rig rig(Rig::Model(), Rig::Shape(1));
  rig.RunSteps(1);
  rig.Submit(Rig::Prompt(3000, 1), 5);
  for (int i = 0; i < 10; ++i) rig.Submit(Rig::Prompt(600, 2 + i), 5);
  const auto frame = rig.Compose();
  ASSERT_TRUE(frame);
  const model::SequenceId oldest = frame->step.tokens.front().sequence;
  EXPECT_EQ(frame->step.tokens.size(), 512u);
  EXPECT_EQ(std::ranges::count(frame->step.tokens, oldest, &model::StepToken::sequence), 256);
}

TEST(StepComposerTest, PromptsGoOnWhileDecodingCouldFillEveryStep) {
  PipelineShape shape = Rig::Shape(1);
  shape.max_tokens = 8;
  shape.max_outputs = 4;
  Rig rig(Rig::Model(), shape);
  Decoding(rig, 16);
  const model::SequenceId one = rig.Submit(Rig::Prompt(1, 1), 5);
  const model::SequenceId more = rig.Submit(Rig::Prompt(60, 2), 5);
  for (int i = 0; i < 60; ++i) {
    rig.RunSteps(1);
  }
  EXPECT_FALSE(rig.outcome(one).tokens.empty());
  EXPECT_FALSE(rig.outcome(more).tokens.empty());
}

TEST(StepComposerTest, ASequenceThatIsCancelledIsFreedWithTheNextFrameEvenWithoutTokens) {
  Rig rig(Rig::Model(), Rig::Shape(2));
  const model::SequenceId id = Decoding(rig, 1)[0];
  rig.ComposeAll();
  while (rig.scheduler().num_in_flight() > 0) rig.Return();
  rig.scheduler().Cancel(id);
  const auto frame = rig.Compose();
  ASSERT_TRUE(frame);
  EXPECT_TRUE(frame->step.tokens.empty());
  ASSERT_EQ(frame->commands.size(), 1u);
  EXPECT_TRUE(std::holds_alternative<model::FreeCommand>(frame->commands[0]));
  rig.RunAll();
  rig.ExpectNothingHeldButKept();
  EXPECT_EQ(rig.scheduler().num_free_blocks(), rig.scheduler().num_blocks());
}

TEST(StepComposerTest, AStepThatDoesNotComeBackHasADeadline) {
  Rig rig(Rig::Model(), Rig::Shape(2));
  EXPECT_FALSE(rig.scheduler().ProgressDeadline());
  rig.Compose();
  ASSERT_TRUE(rig.scheduler().ProgressDeadline());
  EXPECT_EQ(*rig.scheduler().ProgressDeadline(), rig.now() + absl::Seconds(10));
  rig.Return();
  rig.Submit(Rig::Prompt(1024, 1), 5);
  rig.ComposeAll();
  EXPECT_GT(*rig.scheduler().ProgressDeadline(), rig.now());
  rig.RunAll();
  EXPECT_FALSE(rig.scheduler().ProgressDeadline());
}

}  // namespace
}  // namespace potluck::coordinator
