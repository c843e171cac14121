// Who is on the stages: sharing, keeping, giving way, pausing, leaving.
#include <gtest/gtest.h>

#include "tests/coordinator/scheduler/scheduler_rig.h"

namespace potluck::coordinator {
namespace {

using Rig = SchedulerRig;

PipelineShape Small(int64_t positions) {
  PipelineShape shape = Rig::Shape(2);
  shape.kv_capacity = positions;
  return shape;
}

const wire::BeginCommand* BeginIn(const wire::StageFrame& frame) {
  for (const wire::StageCommand& command : frame.commands) {
    if (const auto* begin = std::get_if<wire::BeginCommand>(&command)) return begin;
  }
  return nullptr;
}

TEST(ResidenceTest, PromptsThatBeginAlikeShareTheirFullBlocks) {
  Rig rig(Rig::Model(), Rig::Shape(2));
  const auto system = Rig::Prompt(100, 1);
  const model::SequenceId first = rig.Submit(Rig::Prompt(10, 2, system), 4);
  rig.RunAll();
  const int32_t used = rig.scheduler().num_blocks() - rig.scheduler().num_free_blocks();
  const model::SequenceId second = rig.Submit(Rig::Prompt(10, 3, system), 4);
  const auto frame = rig.Compose();
  ASSERT_TRUE(frame);
  const wire::BeginCommand* begin = BeginIn(*frame);
  ASSERT_NE(begin, nullptr);
  EXPECT_EQ(begin->fork_length, 96);  // 3 blocks of 100
  EXPECT_EQ(frame->step.tokens.front().position, 96);
  EXPECT_EQ(rig.scheduler().HeldPrefix(Rig::Prompt(10, 4, system)), 96);
  EXPECT_EQ(rig.scheduler().HeldPrefix(Rig::Prompt(100, 4)), 0);
  EXPECT_EQ(rig.scheduler().num_blocks() - rig.scheduler().num_free_blocks(), used + 1);
  rig.RunAll();
  rig.ExpectDone(first);
  rig.ExpectDone(second);
  EXPECT_EQ(rig.outcome(first).cached_tokens, 0);
  EXPECT_EQ(rig.outcome(second).cached_tokens, 96);
  rig.ExpectNothingHeldButKept();
}

TEST(ResidenceTest, AConversationThatGoesOnForksItsOwnPast) {
  for (const bool kinds_matter : {false, true}) {
    ScheduledModel model = Rig::Model();
    model.kinds_matter = kinds_matter;
    Rig rig(model, Rig::Shape(2));
    const auto prompt = Rig::Prompt(40, 1);
    const model::SequenceId first = rig.Submit(prompt, 100);
    rig.RunAll();
    std::vector<model::TokenId> past = prompt;
    past.insert(past.end(), rig.outcome(first).tokens.begin(), rig.outcome(first).tokens.end());
    const model::SequenceId second = rig.Submit(Rig::Prompt(5, 2, past), 5);
    rig.RunAll();
    EXPECT_TRUE(rig.outcome(second).finished);
    // Where kinds matter, what was generated is computed again, as a prompt.
    EXPECT_EQ(rig.outcome(second).cached_tokens, kinds_matter ? 32 : 128);
  }
}

TEST(ResidenceTest, ARequestWaitsForAPrefixThatIsBeingComputedAndOthersPassIt) {
  Rig rig(Rig::Model(), Rig::Shape(2));
  rig.RunSteps(1);
  const auto system = Rig::Prompt(3000, 1);
  const model::SequenceId first = rig.Submit(Rig::Prompt(10, 2, system), 4);
  const model::SequenceId same = rig.Submit(Rig::Prompt(10, 3, system), 4);
  const model::SequenceId other = rig.Submit(Rig::Prompt(10, 4), 4);
  rig.Compose();
  EXPECT_EQ(rig.scheduler().num_waiting(), 1);
  EXPECT_EQ(rig.scheduler().num_active(), 2);
  rig.RunAll();
  for (const model::SequenceId id : {first, same, other}) rig.ExpectDone(id);
  EXPECT_EQ(rig.outcome(same).cached_tokens, 2976);
}

TEST(ResidenceTest, KeptSequencesAreFreedOldestFirst) {
  Rig rig(Rig::Model(), Small(640));
  const auto a = Rig::Prompt(150, 1), b = Rig::Prompt(150, 2);
  rig.Submit(a, 4);
  rig.RunAll();
  rig.Submit(b, 4);
  rig.RunAll();
  EXPECT_EQ(rig.scheduler().num_kept(), 2);
  rig.Submit(Rig::Prompt(250, 3), 60);  // takes a's place
  rig.RunAll();
  const model::SequenceId again_b = rig.Submit(Rig::Prompt(1, 4, b), 4);
  rig.RunAll();
  EXPECT_EQ(rig.outcome(again_b).cached_tokens, 128);
  const model::SequenceId again_a = rig.Submit(Rig::Prompt(1, 4, a), 4);
  rig.RunAll();
  EXPECT_EQ(rig.outcome(again_a).cached_tokens, 0);
  rig.ExpectDone(again_a);
  rig.ExpectDone(again_b);
}

TEST(ResidenceTest, WhereMemoryEndsTheYoungestGivesWayAndTheOldestGoesOn) {
  Rig rig(Rig::Model(), Small(640));
  std::vector<model::SequenceId> ids;
  for (int i = 0; i < 4; ++i) ids.push_back(rig.Submit(Rig::Prompt(32, i), 300));
  while (!rig.outcome(ids[0]).finished) {
    const size_t had = rig.outcome(ids[0]).tokens.size();
    rig.RunSteps(6);
    ASSERT_GT(rig.outcome(ids[0]).tokens.size(), had) << "the oldest stands still";
  }
  EXPECT_GT(rig.scheduler().counters().preemptions, 0);
  EXPECT_FALSE(rig.outcome(ids[3]).finished);
  rig.RunAll();
  for (const model::SequenceId id : ids) rig.ExpectDone(id);
  rig.ExpectNothingHeldButKept();
}

TEST(ResidenceTest, ASlowReaderPausesOnlyItself) {
  Rig rig(Rig::Model(), Rig::Shape(3));
  const model::SequenceId slow = rig.Submit(Rig::Prompt(10, 1), 200);
  const model::SequenceId quick = rig.Submit(Rig::Prompt(10, 2), 200);
  rig.RunSteps(20);
  rig.scheduler().SetReaderPaused(slow, true);
  const size_t had = rig.outcome(slow).tokens.size();
  rig.RunAll();
  EXPECT_LE(rig.outcome(slow).tokens.size(), had + 1) << "but for the one under way";
  rig.ExpectDone(quick);
  rig.scheduler().SetReaderPaused(slow, false);
  rig.RunAll();
  rig.ExpectDone(slow);
}

TEST(ResidenceTest, ASlowReaderGivesWayToWhoNeedsItsBlocksEvenIfTheyShareThem) {
  for (const bool alike : {false, true}) {
    Rig rig(Rig::Model(), Small(640));
    const auto prompt = Rig::Prompt(300, 1);
    const model::SequenceId slow = rig.Submit(prompt, 100);
    while (rig.outcome(slow).tokens.empty()) rig.RunSteps(1);
    rig.scheduler().SetReaderPaused(slow, true);
    const model::SequenceId next = rig.Submit(
        alike ? Rig::Prompt(280, 2, {prompt.begin(), prompt.begin() + 40}) : Rig::Prompt(400, 3),
        100);
    rig.RunAll();
    rig.ExpectDone(next);
    EXPECT_FALSE(rig.outcome(slow).finished);
    rig.scheduler().SetReaderPaused(slow, false);
    rig.RunAll();
    rig.ExpectDone(slow);
  }
}

TEST(ResidenceTest, ACancelAtAnyMomentFreesAllAndDisturbsNobody) {
  for (int moment = 0; moment < 40; ++moment) {
    Rig rig(Rig::Model(), Small(1024));
    const auto system = Rig::Prompt(100, 1);
    const model::SequenceId leaves = rig.Submit(Rig::Prompt(90, 2, system), 20);
    const model::SequenceId stays = rig.Submit(Rig::Prompt(90, 3, system), 20);
    for (int i = 0; i < moment; ++i) (i % 3 == 2 ? void(rig.Return()) : void(rig.Compose()));
    const size_t had = rig.outcome(leaves).tokens.size();
    const bool was_done = rig.outcome(leaves).finished;
    rig.scheduler().Cancel(leaves);
    rig.RunAll();
    EXPECT_EQ(rig.outcome(leaves).tokens.size(), had);
    EXPECT_EQ(rig.outcome(leaves).finished, was_done);
    rig.ExpectDone(stays);
    rig.ExpectNothingHeldButKept();
    EXPECT_EQ(rig.scheduler().num_kept(), was_done ? 2 : 1) << "after " << moment;
  }
}

TEST(ResidenceTest, WhatIsStoppedAtAnyMomentEndsOnceAndIsKeptForTheNextTurn) {
  for (int moment = 0; moment < 80; ++moment) {
    ScheduledModel model = Rig::Model();
    model.kinds_matter = moment % 2 == 0;
    Rig rig(model, Small(1024));
    const auto prompt = Rig::Prompt(90, 1);
    const model::SequenceId stopped = rig.Submit(prompt, 60);
    const model::SequenceId stays = rig.Submit(Rig::Prompt(90, 2), 20);
    for (int i = 0; i < moment; ++i) (i % 3 == 2 ? void(rig.Return()) : void(rig.Compose()));
    const std::vector<model::TokenId> had = rig.outcome(stopped).tokens;
    rig.scheduler().Stop(stopped);
    rig.scheduler().Stop(stopped);
    rig.RunAll();
    EXPECT_TRUE(rig.outcome(stopped).finished);
    EXPECT_EQ(rig.outcome(stopped).reason, model::FinishReason::kStop);
    EXPECT_EQ(rig.outcome(stopped).tokens, had);
    std::vector<model::TokenId> past = prompt;
    past.insert(past.end(), had.begin(), had.end());
    const model::SequenceId next = rig.Submit(Rig::Prompt(5, 3, past), 5);
    rig.RunAll();
    rig.ExpectDone(stays);
    EXPECT_TRUE(rig.outcome(next).finished);
    // The prompt is computed from its last blocks on; what was generated counts where kinds do not.
    if (model.kinds_matter) rig.ExpectDone(next);
    const size_t known = model.kinds_matter ? prompt.size() : past.size() - 1;
    if (!had.empty()) {
      EXPECT_GE(rig.outcome(next).cached_tokens, known / kBlockPositions * kBlockPositions)
          << "after " << moment;
    }
    rig.ExpectNothingHeldButKept();
  }
}

TEST(ResidenceTest, NoEventFollowsACancelNorOneNotYetTaken) {
  InstanceScheduler scheduler(Rig::Model());
  const auto id = scheduler.Submit({.prompt = {1, 2}, .max_tokens = 0, .end_tokens = {}});
  ASSERT_TRUE(id.ok());
  scheduler.Cancel(*id);
  EXPECT_TRUE(scheduler.TakeEvents().empty());
}

TEST(ResidenceTest, AFullQueueRefuses) {
  ScheduledModel model = Rig::Model();
  model.max_waiting = 2;
  Rig rig(model, Rig::Shape(1));
  const auto a = rig.Submit(Rig::Prompt(5, 1), 3), b = rig.Submit(Rig::Prompt(5, 2), 3);
  EXPECT_EQ(rig.Submit(Rig::Prompt(5, 3), 3), 0);
  EXPECT_TRUE(absl::IsResourceExhausted(rig.last_status())) << rig.last_status();
  rig.RunAll();
  rig.ExpectDone(a);
  rig.ExpectDone(b);
  EXPECT_NE(rig.Submit(Rig::Prompt(5, 3), 3), 0);
}

TEST(ResidenceTest, RefusesWhatCannotBeAnswered) {
  Rig rig(Rig::Model(), Small(320));
  const std::vector<std::vector<model::TokenId>> prompts = {
      {}, {-1}, {kFakeVocab}, Rig::Prompt(Rig::kContext, 1), Rig::Prompt(320, 1)};
  for (const auto& prompt : prompts) {
    EXPECT_EQ(rig.Submit(prompt, 3), 0);
    EXPECT_TRUE(absl::IsInvalidArgument(rig.last_status())) << rig.last_status();
  }
}

TEST(ResidenceTest, AnAnswerThatOutgrowsAllMemoryFailsAloneAndClearly) {
  Rig rig(Rig::Model(), Small(320));
  const model::SequenceId large = rig.Submit(Rig::Prompt(100, 1), -1);
  const model::SequenceId fits = rig.Submit(Rig::Prompt(100, 2), 50);
  rig.RunAll();
  EXPECT_TRUE(absl::IsResourceExhausted(rig.outcome(large).failed));
  EXPECT_EQ(rig.outcome(large).tokens.size(), 320u - 100 + 1);
  rig.ExpectDone(fits);
  rig.ExpectNothingHeldButKept();
}

TEST(ResidenceTest, FailAllEndsEveryRequestOnce) {
  Rig rig(Rig::Model(), Rig::Shape(2));
  std::vector<model::SequenceId> ids;
  for (int i = 0; i < 40; ++i) ids.push_back(rig.Submit(Rig::Prompt(32, i), 100));
  rig.RunSteps(30);
  rig.scheduler().FailAll(absl::UnavailableError("no device is left"));
  rig.RunAll();
  for (const model::SequenceId id : ids)
    EXPECT_TRUE(absl::IsUnavailable(rig.outcome(id).failed)) << rig.outcome(id).failed;
  rig.ExpectNothingHeldButKept();
}

}  // namespace
}  // namespace potluck::coordinator
