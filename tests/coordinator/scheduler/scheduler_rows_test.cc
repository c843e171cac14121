// Requests for rows instead of an answer.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/coordinator/scheduler/scheduler_rig.h"

namespace potluck::coordinator {
namespace {

TEST(SchedulerRowsTest, EveryRowComesOnceInItsOrder) {
  SchedulerRig rig(SchedulerRig::Model(), SchedulerRig::Shape(3));
  const auto one = rig.SubmitForRows(SchedulerRig::Prompt(1300, 1), 0);
  const auto other = rig.SubmitForRows(SchedulerRig::Prompt(1, 2), 0);
  const auto answer = rig.Submit(SchedulerRig::Prompt(40, 3), 30);
  rig.RunAll();
  rig.ExpectRows(one);
  rig.ExpectRows(other);
  rig.ExpectDone(answer);
  EXPECT_EQ(rig.outcome(one).reason, model::FinishReason::kStop);
  rig.ExpectNothingHeldButKept();
}

TEST(SchedulerRowsTest, TheyAreSentInLargeChunksWhereNobodyDecodes) {
  SchedulerRig rig(SchedulerRig::Model(), SchedulerRig::Shape(1));
  rig.RunAll();
  rig.SubmitForRows(SchedulerRig::Prompt(513, 1), 0);
  const auto first = rig.Compose();
  ASSERT_TRUE(first.has_value());
  rig.SubmitForRows(SchedulerRig::Prompt(512, 2), 0);
  rig.Return();
  rig.Return();
  const auto next = rig.Compose();
  ASSERT_TRUE(next.has_value());
  EXPECT_EQ(first->step.tokens.size() + next->step.tokens.size(), 1024u);
  rig.RunAll();
}

TEST(SchedulerRowsTest, AResultIsNoMoreThanALinkCarriesInASecond) {
  ScheduledModel model = SchedulerRig::Model();
  model.model_dim = 65536;  // 256 KiB a row
  SchedulerRig rig(model, SchedulerRig::Shape(1));
  rig.RunAll();
  rig.SubmitForRows(SchedulerRig::Prompt(100, 1), 0);
  rig.SubmitForRows(SchedulerRig::Prompt(100, 2), 97);
  const auto frame = rig.Compose();
  ASSERT_TRUE(frame.has_value());
  const auto wanted =
      std::ranges::count(frame->step.tokens, model::Wanted::kHidden, &model::StepToken::wanted);
  EXPECT_EQ(wanted, 8);
  EXPECT_GE(frame->step.tokens.size(), 100u) << "tokens whose rows nobody wants are not held up";
}

TEST(SchedulerRowsTest, HalfOfTheQueueIsForAnswers) {
  ScheduledModel model = SchedulerRig::Model();
  model.max_waiting = 4;
  PipelineShape shape = SchedulerRig::Shape(1);
  shape.max_sequences = 2;
  SchedulerRig rig(model, shape);
  for (int i = 0; i < 2; ++i) rig.SubmitForRows(SchedulerRig::Prompt(5, i), 0);
  EXPECT_EQ(rig.SubmitForRows(SchedulerRig::Prompt(5, 9), 0), 0);
  EXPECT_TRUE(absl::IsResourceExhausted(rig.last_status())) << rig.last_status();
  const auto answer = rig.Submit(SchedulerRig::Prompt(5, 3), 5);
  EXPECT_GT(answer, 0);
  rig.RunAll();
  rig.ExpectDone(answer);
}

// What somebody embeds is not a beginning that comes again.
TEST(SchedulerRowsTest, NothingOfThemIsKept) {
  SchedulerRig rig(SchedulerRig::Model(), SchedulerRig::Shape(2));
  const auto id = rig.SubmitForRows(SchedulerRig::Prompt(300, 1), 0);
  rig.RunAll();
  rig.ExpectRows(id);
  EXPECT_EQ(rig.scheduler().num_kept(), 0);
  EXPECT_EQ(rig.scheduler().num_free_blocks(), rig.scheduler().num_blocks());
}

TEST(SchedulerRowsTest, RowsThatAreWantedAreNotShared) {
  SchedulerRig rig(SchedulerRig::Model(), SchedulerRig::Shape(2));
  const auto prefix = SchedulerRig::Prompt(200, 1);
  const auto chat = rig.Submit(prefix, 5);
  rig.RunAll();
  rig.ExpectDone(chat);
  const auto all = rig.SubmitForRows(SchedulerRig::Prompt(50, 2, prefix), 0);
  rig.RunAll();
  rig.ExpectRows(all);
  EXPECT_EQ(rig.outcome(all).cached_tokens, 0);
  // Of the last row alone, what lies before it may be another's.
  const auto last = rig.SubmitForRows(SchedulerRig::Prompt(50, 2, prefix), 249);
  rig.RunAll();
  rig.ExpectRows(last);
  EXPECT_EQ(rig.outcome(last).cached_tokens, 192);
}

TEST(SchedulerRowsTest, AfterADeathOnlyThoseThatHaveNotComeAreAskedForAgain) {
  SchedulerRig rig(SchedulerRig::Model(), SchedulerRig::Shape(3));
  const auto id = rig.SubmitForRows(SchedulerRig::Prompt(1500, 1), 0);
  rig.RunSteps(2);
  const size_t before = rig.outcome(id).rows.size();
  EXPECT_GT(before, 0u);
  rig.ComposeAll();
  rig.Replace(1);
  int64_t asked = 0;
  while (true) {
    while (const auto frame = rig.Compose()) {
      for (const model::StepToken& token : frame->step.tokens)
        asked += token.wanted == model::Wanted::kHidden;
    }
    if (!rig.Return()) break;
  }
  EXPECT_EQ(asked, 1500 - static_cast<int64_t>(before) / kFakeDim);
  rig.ExpectRows(id);
}

TEST(SchedulerRowsTest, APromptMayFillTheContext) {
  SchedulerRig rig(SchedulerRig::Model(), SchedulerRig::Shape(1));
  const auto id = rig.SubmitForRows(SchedulerRig::Prompt(SchedulerRig::kContext, 1), 0);
  rig.RunAll();
  rig.ExpectRows(id);
  rig.SubmitForRows(SchedulerRig::Prompt(SchedulerRig::kContext + 1, 1), 0);
  EXPECT_TRUE(absl::IsInvalidArgument(rig.last_status())) << rig.last_status();
}

TEST(SchedulerRowsTest, ThereIsARowToBeginWith) {
  SchedulerRig rig(SchedulerRig::Model(), SchedulerRig::Shape(1));
  for (const int32_t from : {-1, 5}) {
    rig.SubmitForRows(SchedulerRig::Prompt(5, 1), from);
    EXPECT_TRUE(absl::IsInvalidArgument(rig.last_status())) << rig.last_status();
  }
}

TEST(SchedulerRowsTest, ALastStageThatSendsTooFewOfThemIsNotBelieved) {
  SchedulerRig rig(SchedulerRig::Model(), SchedulerRig::Shape(1));
  rig.RunAll();
  rig.SubmitForRows(SchedulerRig::Prompt(10, 1), 0);
  const auto frame = rig.Compose();
  ASSERT_TRUE(frame.has_value());
  const absl::Status status = rig.scheduler().OnResult({.instance = 1,
                                                        .epoch = frame->step.epoch,
                                                        .number = frame->step.number,
                                                        .status = {},
                                                        .tokens = {},
                                                        .hidden = std::vector<float>(9 * kFakeDim),
                                                        .timings = {}},
                                                       rig.now());
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
}

}  // namespace
}  // namespace potluck::coordinator
