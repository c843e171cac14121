// Changes of plan: what is trimmed, what is computed again, what counts against a request.
#include <gtest/gtest.h>

#include "tests/coordinator/scheduler/scheduler_rig.h"

namespace potluck::coordinator {
namespace {

using Rig = SchedulerRig;

TEST(SchedulerEpochTest, NoTokenIsLostOrRepeatedWhereverTheChangeComes) {
  for (const EpochEnd why : {EpochEnd::kPlanned, EpochEnd::kWorkerDied}) {
    for (const size_t survivors : {0, 1, 3}) {
      for (int moment = 0; moment < 40; ++moment) {
        Rig rig(Rig::Model(), Rig::Shape(3));
        const auto system = Rig::Prompt(100, 1);
        std::vector<model::SequenceId> ids;
        for (int i = 0; i < 3; ++i) ids.push_back(rig.Submit(Rig::Prompt(90, 2 + i, system), 20));
        const auto rows = rig.SubmitForRows(Rig::Prompt(150, 7, system), 0);
        for (int i = 0; i < moment; ++i) (i % 3 == 2 ? void(rig.Return()) : void(rig.Compose()));
        rig.ChangePlan(why, Rig::Shape(2), survivors);
        EXPECT_FALSE(rig.scheduler().ready()) << "before a token has come through";
        rig.RunAll();
        for (const model::SequenceId id : ids) rig.ExpectDone(id);
        rig.ExpectRows(rows);
        rig.ExpectNothingHeldButKept();
        ASSERT_FALSE(HasFailure()) << "after " << moment;
      }
    }
  }
}

// By hand: a scheduler alone, with a sequence of 100 tokens that all stages are said to hold.
TEST(SchedulerEpochTest, WithoutKeptRowsAllStagesComputeFromTheLeastThatOneHolds) {
  Rig rig(Rig::Model(), Rig::Shape(2));
  rig.Submit(Rig::Prompt(100, 1), 50);
  rig.RunSteps(6);
  InstanceScheduler& scheduler = rig.scheduler();
  scheduler.EndEpoch(EpochEnd::kPlanned);
  PipelineShape shape = rig.shape();
  shape.epoch.number = 9;
  const auto kept = scheduler.BeginEpoch(shape);
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_GE(kept[0].length, 100);
  const model::SequenceId id = kept[0].start.sequence;
  scheduler.OnHeld(
      std::vector<std::vector<wire::SequenceLength>>{{{id, kept[0].length}}, {{id, 70}}});
  const auto frame = scheduler.ComposeNext(rig.now());
  ASSERT_TRUE(frame);
  EXPECT_TRUE(scheduler
                  .OnResult({.instance = 1,
                             .epoch = shape.epoch,
                             .number = 1,
                             .status = {},
                             .tokens = {{.sequence = frame->step.tokens[0].sequence,
                                         .position = 1,
                                         .id = 5,
                                         .logprobs = {}}},
                             .timings = {}},
                            rig.now())
                  .ok());
  const auto replay = scheduler.ComposeNext(rig.now());
  ASSERT_TRUE(replay);
  EXPECT_EQ(replay->step.tokens.front().position, 70);
  EXPECT_EQ(replay->replaying, (std::vector<int32_t>{0, 1}));
}

TEST(SchedulerEpochTest, OnlyTheStageThatIsNewComputesWhatTheOneBeforeItHasKept) {
  for (const int64_t kept : {0, 150, 1000}) {
    for (const size_t lost : {0u, 1u, 2u}) {
      Rig rig(Rig::Model(), Rig::Shape(3));
      for (FakeStage& stage : rig.pipeline().stages()) stage.KeepRows(kept);
      const model::SequenceId id = rig.Submit(Rig::Prompt(400, 1), 50);
      while (rig.outcome(id).tokens.size() < 10) rig.RunSteps(1);
      rig.Replace(lost);
      rig.RunAll();
      rig.ExpectDone(id);
      rig.ExpectNothingHeldButKept();
      // Those after it have lost nothing; those before it pass on what they can.
      const auto before = static_cast<int64_t>(lost), after = 2 - before;
      EXPECT_NEAR(rig.pipeline().num_passed(), after * 405 + before * std::min<int64_t>(kept, 405),
                  5 * 2)
          << kept << " rows kept, stage " << lost << " lost";
    }
  }
}

TEST(SchedulerEpochTest, OthersGoOnWhileOneIsComputedAgain) {
  Rig rig(Rig::Model(), Rig::Shape(2));
  for (FakeStage& stage : rig.pipeline().stages()) stage.KeepRows(1 << 20);
  const model::SequenceId large = rig.Submit(Rig::Prompt(4000, 1), 50);
  while (rig.outcome(large).tokens.empty()) rig.RunSteps(1);
  rig.Replace(1);
  const model::SequenceId small = rig.Submit(Rig::Prompt(4, 2), 20);
  const size_t had = rig.outcome(large).tokens.size();
  while (!rig.outcome(small).finished && rig.Compose().has_value() + rig.Return() > 0) continue;
  EXPECT_TRUE(rig.outcome(small).finished);
  EXPECT_EQ(rig.outcome(large).tokens.size(), had) << "nobody had to wait";
  rig.RunAll();
  rig.ExpectDone(large);
  rig.ExpectDone(small);
}

TEST(SchedulerEpochTest, WhereAWindowForbidsGoingBackTheSequenceIsBegunAnew) {
  ScheduledModel model = Rig::Model();
  model.window = 64;
  Rig rig(model, Rig::Shape(2));
  const model::SequenceId id = rig.Submit(Rig::Prompt(400, 1), 50);
  while (rig.outcome(id).tokens.empty()) rig.RunSteps(1);
  rig.Replace(1);
  EXPECT_EQ(rig.scheduler().num_waiting(), 1);
  rig.RunAll();
  rig.ExpectDone(id);
  rig.ExpectNothingHeldButKept();
}

TEST(SchedulerEpochTest, AStageThatSaysNothingOfASequenceOrTooMuchDoesNoHarm) {
  for (const int32_t said : {-5, 0, 1 << 30}) {
    Rig rig(Rig::Model(), Rig::Shape(1));
    rig.Submit(Rig::Prompt(100, 1), 50);
    rig.RunSteps(6);
    rig.scheduler().EndEpoch(EpochEnd::kPlanned);
    const auto kept = rig.scheduler().BeginEpoch(rig.shape());
    std::vector<std::vector<wire::SequenceLength>> held(1);
    if (said != 0) held[0] = {{kept[0].start.sequence, said}, {77777, said}};
    rig.scheduler().OnHeld(held);
    EXPECT_TRUE(rig.scheduler().ComposeNext(rig.now()));
  }
}

TEST(SchedulerEpochTest, ARequestInFlightAtTwoDeathsFailsAndOthersDoNot) {
  Rig rig(Rig::Model(), Rig::Shape(2));
  const model::SequenceId doomed = rig.Submit(Rig::Prompt(500, 1), 50);
  const model::SequenceId bystander = rig.Submit(Rig::Prompt(10, 2), 50);
  rig.scheduler().SetReaderPaused(bystander, true);
  for (int death = 1; death <= 2; ++death) {
    rig.ComposeAll();
    rig.Return();  // the probe
    rig.ComposeAll();
    EXPECT_TRUE(rig.outcome(doomed).failed.ok());
    rig.ChangePlan(EpochEnd::kWorkerDied);
  }
  EXPECT_TRUE(absl::IsAborted(rig.outcome(doomed).failed)) << rig.outcome(doomed).failed;
  rig.scheduler().SetReaderPaused(bystander, false);
  rig.RunAll();
  rig.ExpectDone(bystander);
  rig.ExpectNothingHeldButKept();
}

TEST(SchedulerEpochTest, ADeathKnownOnlyAfterItsLinksBrokeCountsOnce) {
  Rig rig(Rig::Model(), Rig::Shape(2));
  const model::SequenceId id = rig.Submit(Rig::Prompt(500, 1), 50);
  for (int death = 1; death <= 2; ++death) {
    rig.ComposeAll();
    rig.Return();
    rig.ComposeAll();
    EXPECT_TRUE(rig.outcome(id).failed.ok());
    rig.scheduler().EndEpoch(EpochEnd::kPlanned);
    rig.scheduler().EndEpoch(EpochEnd::kWorkerDied);
    rig.scheduler().EndEpoch(EpochEnd::kWorkerDied);  // another, that computed nothing of it
    rig.ChangePlan(EpochEnd::kPlanned);
  }
  EXPECT_TRUE(absl::IsAborted(rig.outcome(id).failed));
}

TEST(SchedulerEpochTest, APlanWithLessMemoryKeepsWhatFitsAndSaysWhyForTheRest) {
  Rig rig(Rig::Model(), Rig::Shape(2));
  const model::SequenceId large = rig.Submit(Rig::Prompt(1000, 1), 50);
  std::vector<model::SequenceId> small;
  for (int i = 0; i < 4; ++i) small.push_back(rig.Submit(Rig::Prompt(100, 2 + i), 50));
  rig.RunSteps(12);
  PipelineShape less = Rig::Shape(2);
  less.kv_capacity = 320;
  less.max_sequences = 3;
  rig.ChangePlan(EpochEnd::kWorkerDied, less, 0);
  EXPECT_TRUE(absl::IsResourceExhausted(rig.outcome(large).failed)) << rig.outcome(large).failed;
  rig.RunAll();
  for (const model::SequenceId id : small) rig.ExpectDone(id);
  rig.ExpectNothingHeldButKept();
}

TEST(SchedulerEpochTest, OnlyTheRequestThatFailsItsStepsFails) {
  Rig rig(Rig::Model(), Rig::Shape(3));
  std::vector<model::SequenceId> ids;
  for (int i = 0; i < 6; ++i) ids.push_back(rig.Submit(Rig::Prompt(40, i), 30));
  rig.pipeline().Poison(rig.SeedOf(ids[2]));
  rig.RunAll();
  EXPECT_TRUE(absl::IsInternal(rig.outcome(ids[2]).failed)) << rig.outcome(ids[2]).failed;
  for (const model::SequenceId id : ids) {
    if (id != ids[2]) rig.ExpectDone(id);
  }
  rig.ExpectNothingHeldButKept();
}

TEST(SchedulerEpochTest, BrokenLinksAndTheGapsTheyLeaveCountAgainstNobody) {
  Rig rig(Rig::Model(), Rig::Shape(3));
  std::vector<model::SequenceId> ids;
  for (int i = 0; i < 4; ++i) ids.push_back(rig.Submit(Rig::Prompt(40, i), 30));
  for (int i = 0; i < 10; ++i) {
    rig.RunSteps(3);
    rig.pipeline().FailNext(i % 2 == 0 ? absl::UnavailableError("a link broke")
                                       : absl::FailedPreconditionError("a gap"));
    rig.ComposeAll();
    while (rig.last_status().ok() && rig.Return()) rig.ComposeAll();
    EXPECT_FALSE(rig.Compose()) << "before the new epoch";
    rig.ChangePlan(EpochEnd::kPlanned);
    rig.RunSteps(1);
  }
  rig.RunAll();
  for (const model::SequenceId id : ids) rig.ExpectDone(id);
}

TEST(SchedulerEpochTest, DropsResultsOfOtherEpochsAndRepeatedOnes) {
  Rig rig(Rig::Model(), Rig::Shape(1));
  const model::SequenceId id = rig.Submit(Rig::Prompt(10, 1), 5);
  rig.RunSteps(2);
  wire::StepResult result{.instance = 1,
                          .epoch = rig.shape().epoch,
                          .number = 2,
                          .status = {},
                          .tokens = {},
                          .timings = {}};
  EXPECT_TRUE(rig.scheduler().OnResult(result, rig.now()).ok());
  result.epoch = {0, 7};
  result.status = absl::InternalError("of long ago");
  EXPECT_TRUE(rig.scheduler().OnResult(result, rig.now()).ok());
  EXPECT_EQ(rig.scheduler().counters().stale_results, 2);
  rig.RunAll();
  rig.ExpectDone(id);
}

TEST(SchedulerEpochTest, AnAnswerThatNobodyAskedForIsAnError) {
  for (int kind = 0; kind < 4; ++kind) {
    Rig rig(Rig::Model(), Rig::Shape(1));
    const auto probe = rig.Compose();
    wire::TokenResult token{
        .sequence = probe->step.tokens[0].sequence, .position = 1, .id = 1, .logprobs = {}};
    wire::StepResult result{.instance = 1,
                            .epoch = rig.shape().epoch,
                            .number = 1,
                            .status = {},
                            .tokens = {},
                            .timings = {}};
    if (kind == 0) token.sequence = 99;
    if (kind == 1) token.position = 2;
    if (kind == 2) token.id = kFakeVocab;
    if (kind == 3) result.number = 5;
    result.tokens.push_back(token);
    EXPECT_TRUE(absl::IsInvalidArgument(rig.scheduler().OnResult(result, rig.now()))) << kind;
    EXPECT_FALSE(rig.scheduler().ComposeNext(rig.now()));
    EXPECT_FALSE(rig.scheduler().ready());
  }
}

}  // namespace
}  // namespace potluck::coordinator
