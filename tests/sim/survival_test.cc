// What a home does to a cluster, one thing at a time.
#include <gtest/gtest.h>

#include "tests/sim/sim_world.h"

namespace potluck::sim {
namespace {

class SurvivalTest : public testing::Test {
 protected:
  void Start(int num_workers, const SimModel& model = {}, int64_t kept_rows = 1000) {
    world.emplace(model);
    world->stages.kept_rows = kept_rows;
    for (int i = 0; i < num_workers; ++i) world->AddWorker("w" + std::to_string(i));
    world->Load();
    ASSERT_TRUE(world->RunUntil([&] { return all_serve(num_workers); }));
  }
  bool all_serve(size_t num_workers) const {
    return world->ready() && world->Stages().size() == num_workers;
  }
  // A few requests in the midst of their answers.
  void Generate(int count = 4) {
    std::vector<SimRequest*> added;
    for (int i = 0; i < count; ++i) added.push_back(&world->Submit(30 + 20 * i, 150, 1000 + i));
    world->Run(absl::Milliseconds(800));
    for (const SimRequest* request : added) {
      ASSERT_FALSE(request->tokens.empty());
      ASSERT_FALSE(request->ended());
    }
  }
  void ExpectAllFinish(absl::Duration limit = absl::Minutes(3)) {
    const bool ended = world->RunUntil(
        [&] {
          return std::ranges::all_of(world->requests, [](const auto& r) { return r->ended(); });
        },
        limit);
    EXPECT_TRUE(ended);
    for (const auto& request : world->requests) {
      EXPECT_TRUE(request->finished) << request->failed;
      EXPECT_EQ(request->tokens, world->Expected(*request));
    }
    EXPECT_EQ(world->stages.errors, std::vector<std::string>());
  }
  std::optional<SimWorld> world;
};

TEST_F(SurvivalTest, OneWorkerAnswers) {
  Start(1);
  Generate();
  ExpectAllFinish();
}

TEST_F(SurvivalTest, AllWorkersShareTheLayersWhereTheyAreToBeSpread) {
  Start(5);
  Generate();
  ExpectAllFinish();
  EXPECT_EQ(world->stages.steps_by_worker.size(), 5);
}

TEST_F(SurvivalTest, AKilledStageIsReplacedAndNoTokenIsLost) {
  for (int victim = 0; victim < 3; ++victim) {
    SCOPED_TRACE(victim);
    Start(3);
    Generate();
    const std::string name = world->Stages()[victim];
    world->Kill(name);
    ExpectAllFinish();
    EXPECT_EQ(world->coordinator->counters().workers_lost, 1);
    EXPECT_EQ(world->Stages().size(), 2);
  }
}

TEST_F(SurvivalTest, WhoeverTakesALostStageGetsItsRowsFromWhoHasKeptThem) {
  for (const int64_t kept_rows : {0, 1000}) {
    for (const int victim : {0, 1}) {
      SimModel model;
      model.layer_bytes = int64_t{500} << 20;
      Start(2, model, kept_rows);
      world->AddWorker("spare", {.bytes_per_second = 1e9});
      Generate();
      world->stages.tokens_passed = 0;
      const std::string stays = world->Stages()[1 - victim];
      world->Kill(world->Stages()[victim]);
      ExpectAllFinish();
      EXPECT_EQ(world->Stages()[1 - victim], stays);
      // The first stage has rows to pass on if it keeps them, the last has none to pass on.
      const bool passes = victim == 0 || kept_rows > 0;
      EXPECT_EQ(world->stages.tokens_passed > 0, passes) << kept_rows << " rows, stage " << victim;
    }
  }
}

TEST_F(SurvivalTest, APlannedChangeFillsItsNewStagesBeforeTheOldOnesStop) {
  for (const int64_t kept_rows : {0, 1000}) {
    for (const int leaver : {0, 1}) {
      SimModel model;
      model.layer_bytes = int64_t{500} << 20;
      Start(2, model, kept_rows);
      world->AddWorker("spare", {.bytes_per_second = 1e9});
      world->Submit(390, 100, 5);
      world->Submit(310, 100, 2);
      world->Run(absl::Milliseconds(800));
      world->stages.tokens_ahead = world->stages.tokens_run = 0;
      const std::string leaves = world->Stages()[leaver];
      world->worker(leaves).Pause(true);
      ASSERT_TRUE(world->RunUntil([&] { return world->Stages()[leaver] != leaves; }));
      world->Run(absl::Milliseconds(100));
      for (const auto& request : world->requests) ASSERT_FALSE(request->ended());
      // A new first stage needs no rows of others; a new last one what the first has kept.
      if (leaver == 0 || kept_rows > 0) {
        EXPECT_GE(world->stages.tokens_ahead, 2 * 700);
        EXPECT_LT(world->stages.tokens_run, 2 * 300);
      } else {
        EXPECT_EQ(world->stages.tokens_ahead, 0);
      }
      ExpectAllFinish();
      EXPECT_EQ(world->coordinator->counters().workers_lost, 0);
    }
  }
}

TEST_F(SurvivalTest, WhatIsSaidWhileNewStagesAreFilledIsFilledInToo) {
  SimModel model;
  model.layer_bytes = int64_t{500} << 20;
  Start(2, model);
  world->AddWorker("spare", {.bytes_per_second = 1e9});
  world->stages.slowness["spare"] = 10;  // at filling, so that much is said meanwhile
  world->Submit(300, 200, 5);
  world->Run(absl::Milliseconds(800));
  world->stages.tokens_replayed = 0;
  const std::string leaves = world->Stages()[1];
  const size_t said = world->requests[0]->tokens.size();
  world->worker(leaves).Pause(true);
  ASSERT_TRUE(world->RunUntil([&] { return world->Stages()[1] != leaves; }));
  EXPECT_GT(world->requests[0]->tokens.size(), said + 30) << "nothing was said meanwhile";
  ExpectAllFinish();
  // The last round and the fence take less time than thirty tokens.
  EXPECT_LT(world->stages.tokens_replayed, 30);
}

TEST_F(SurvivalTest, AStandbyLoadsWhileAWorkerIsSuspectAndLetsGoWhenItReturns) {
  SimModel model;
  model.layer_bytes = int64_t{500} << 20;
  Start(2, model);
  world->stages.load_time = absl::Milliseconds(900);
  world->AddWorker("spare", {.bytes_per_second = 1e9});
  world->Run(absl::Seconds(1));
  Generate();
  const std::string silent = world->Stages()[1];
  world->Freeze(silent);
  world->Run(absl::Milliseconds(2500));
  world->Thaw(silent);
  world->Run(absl::Seconds(2));
  EXPECT_EQ(world->Stages()[1], silent);
  EXPECT_EQ(world->stages.alive, 2) << "the spare holds nothing";
  EXPECT_EQ(world->coordinator->counters().replans, 0);
  ExpectAllFinish();

  Generate();
  world->Freeze(silent);
  // Lost after 3 s, heartbeats every 0.5 s: no time is left for a load after that.
  world->Run(absl::Milliseconds(3800));
  EXPECT_EQ(world->Stages()[1], "spare");
  EXPECT_TRUE(world->ready());
  EXPECT_EQ(world->coordinator->counters().replans, 1);
  ExpectAllFinish();
}

TEST_F(SurvivalTest, WhoComesAndGoesBesideThePipelineStandsByWithoutAChange) {
  world.emplace();
  world->AddWorker("a");
  world->Load(/*spread=*/false);
  ASSERT_TRUE(world->RunUntil([&] { return world->ready(); }));
  const model::Epoch epoch = world->instance().pipeline()->epoch;
  const auto plan = [&] { return world->instance().pipeline()->plan; };
  const auto standby = [&] {
    const std::vector<partition::Standby> all = plan().stages[0].standby;
    return all.empty() ? "" : all[0].worker_id;
  };
  const auto becomes = [&](const std::string& name) {
    const bool has = world->RunUntil([&] { return standby() == name; }, absl::Seconds(20));
    world->Run(absl::Milliseconds(10));  // what it is asked arrives
    return has;
  };
  const auto asked = [&](const std::string& name) { return world->stages.copies_asked[name]; };
  EXPECT_EQ(standby(), "");
  EXPECT_FALSE(plan().losses[0].survived);
  world->AddWorker("b");
  EXPECT_TRUE(becomes("b"));
  EXPECT_TRUE(plan().losses[0].survived);
  EXPECT_EQ(asked("b"), 1);
  // A faster one, or a short silence, is no reason to copy weights once more.
  world->AddWorker("c", {.bytes_per_second = 10.5e9});
  world->Run(absl::Seconds(30));
  world->Freeze("b");
  world->Run(absl::Milliseconds(2200));
  EXPECT_EQ(world->coordinator->membership().StateOf("b"), coordinator::MemberState::kSuspect);
  world->Thaw("b");
  world->Run(absl::Seconds(30));
  EXPECT_EQ(standby(), "b");
  EXPECT_EQ(asked("b"), 1);
  EXPECT_EQ(asked("c"), 0);
  world->Kill("b");
  EXPECT_TRUE(becomes("c"));
  EXPECT_EQ(asked("c"), 1);
  world->Restart("b");
  world->Run(absl::Seconds(30));
  world->Kill("c");
  EXPECT_TRUE(becomes("b"));
  EXPECT_EQ(asked("b"), 2);
  world->Kill("b");
  EXPECT_TRUE(becomes(""));
  EXPECT_FALSE(plan().losses[0].survived);
  EXPECT_EQ(world->instance().pipeline()->epoch, epoch);
}

TEST_F(SurvivalTest, WhoCannotKeepACopyStandsByNoMore) {
  world.emplace();
  bool disk_is_full = true;
  world->stages.on_copy = [&](const std::string& who) {
    return who == "b" && disk_is_full ? absl::ResourceExhaustedError("full") : absl::OkStatus();
  };
  world->AddWorker("a", {.bytes_per_second = 40e9});
  world->AddWorker("b", {.bytes_per_second = 20e9});
  world->Load(/*spread=*/false, {{"a", 0, 11}});
  ASSERT_TRUE(world->RunUntil([&] { return world->ready(); }));
  const auto plan = [&]() -> const auto& { return world->instance().pipeline()->plan; };
  const auto has_standby = [&](const std::string& name, bool on_disk) {
    return world->RunUntil(
        [&] {
          const auto& all = plan().stages[0].standby;
          return !all.empty() && all[0].worker_id == name && all[0].on_disk == on_disk;
        },
        absl::Minutes(3));
  };
  EXPECT_TRUE(world->RunUntil([&] { return plan().stages[0].standby.empty(); }, absl::Seconds(30)));
  EXPECT_TRUE(plan().losses[0].survived);  // the model's file is still there
  world->AddWorker("c");
  EXPECT_TRUE(has_standby("c", true));
  world->Kill("c");
  // Asked once a minute, until its disk has room.
  const int asked = world->stages.copies_asked["b"];
  world->Run(absl::Minutes(5));
  EXPECT_LE(world->stages.copies_asked["b"], asked + 6);
  disk_is_full = false;
  EXPECT_TRUE(has_standby("b", true));
  // It is looked after.
  disk_is_full = true;
  EXPECT_TRUE(world->RunUntil([&] { return plan().stages[0].standby.empty(); },
                              2 * coordinator::StandbyCopies::kLookAfter));
}

// One machine could hold all of it, but would have to load what the standby has on its disk.
TEST_F(SurvivalTest, AStandbyTakesOverBeforeABetterPlaceIsSought) {
  world.emplace();
  for (const char* name : {"a", "b", "c"}) world->AddWorker(name);
  world->Load(/*spread=*/false, {{"a", 0, 5}, {"b", 6, 11}});
  ASSERT_TRUE(world->RunUntil([&] { return all_serve(2); }));
  Generate();
  world->Kill("b");
  world->Run(absl::Seconds(2));
  EXPECT_EQ(world->Stages(), (std::vector<std::string>{"a", "c"}));
  ExpectAllFinish();
  EXPECT_EQ(world->coordinator->counters().replans, 1);
}

TEST_F(SurvivalTest, AStageThatStaysSlowGivesLayersAway) {
  world.emplace();
  world->stages.step_time = absl::ZeroDuration();
  world->stages.layer_time = absl::Milliseconds(11);  // as the profiles have it
  for (const char* name : {"a", "b"}) world->AddWorker(name);
  world->Load();
  ASSERT_TRUE(world->RunUntil([&] { return all_serve(2); }));
  const auto layers_of = [&](const std::string& name) -> int64_t {
    for (const auto& stage : world->coordinator->instances()[0]->pipeline()->plan.stages)
      if (stage.worker_id == name) return stage.last_layer - stage.first_layer + 1;
    return 0;
  };
  const std::string slow = world->Stages()[1];
  const int64_t before = layers_of(slow);
  for (int i = 0; i < 4; ++i) world->Submit(30, 400, 1000 + i);
  world->Run(absl::Seconds(10));
  EXPECT_EQ(world->coordinator->counters().replans, 0) << "as planned";
  world->stages.slowness[slow] = 6;
  world->Run(absl::Seconds(20));
  EXPECT_EQ(layers_of(slow), before) << "it may pass";
  world->Run(absl::Seconds(30));
  EXPECT_LT(layers_of(slow), before);
  ExpectAllFinish(absl::Minutes(20));
}

// At every moment of it.
TEST_F(SurvivalTest, DeathsWhileAPlannedChangeIsReplayedAheadLoseNothing) {
  for (int moment = 0; moment < 60; ++moment) {
    SimModel model;
    model.layer_bytes = int64_t{500} << 20;
    Start(2, model);
    for (const char* name : {"spare", "second"}) world->AddWorker(name, {.bytes_per_second = 1e9});
    for (int i = 0; i < 4; ++i) world->Submit(200 + 40 * i, 100, 1 + i);
    world->Run(absl::Milliseconds(800));
    const std::vector<std::string> before = world->Stages();
    world->worker(before[moment % 2]).Pause(true);
    world->Run(absl::Milliseconds(290 + 5 * (moment / 3)));
    if (moment % 3 < 2) {
      world->Kill(before[moment % 3]);
    } else {
      world->Cancel(*world->requests[1]);
      world->requests.erase(world->requests.begin() + 1);
      world->Kill("spare");
    }
    ExpectAllFinish();
    if (HasFailure()) FAIL() << "at moment " << moment;
  }
}

TEST_F(SurvivalTest, APulledPlugIsNoticedByItsSilence) {
  Start(3);
  Generate();
  world->Kill(world->Stages()[1], /*silently=*/true);
  ExpectAllFinish();
  EXPECT_EQ(world->coordinator->counters().workers_lost, 1);
}

TEST_F(SurvivalTest, AFrozenWorkerIsReplacedAndMayReturn) {
  Start(3);
  Generate();
  const std::string frozen = world->Stages()[1];
  world->Freeze(frozen);
  ExpectAllFinish();
  world->Thaw(frozen);
  EXPECT_TRUE(world->RunUntil([&] { return all_serve(3); }));
  Generate();
  ExpectAllFinish();
}

TEST_F(SurvivalTest, WithoutEnoughDevicesStreamsWaitAndGoOn) {
  SimModel model;
  model.layer_bytes = int64_t{500} << 20;
  Start(2, model);
  Generate();
  const std::string lost = world->Stages()[1];
  world->Kill(lost);
  world->Run(absl::Seconds(20));
  EXPECT_FALSE(world->ready());
  EXPECT_EQ(world->Submit(10, 5, 1).failed.code(), absl::StatusCode::kUnavailable);
  world->requests.pop_back();
  world->Restart(lost);
  ExpectAllFinish();
}

TEST_F(SurvivalTest, WithoutEnoughDevicesForLongStreamsEndInAnError) {
  SimModel model;
  model.layer_bytes = int64_t{500} << 20;
  Start(2, model);
  Generate();
  world->Kill(world->Stages()[1]);
  world->Run(absl::Seconds(80));
  for (const auto& request : world->requests)
    EXPECT_EQ(request->failed.code(), absl::StatusCode::kUnavailable);
}

TEST_F(SurvivalTest, AWorkerThatLeavesIsWaitedFor) {
  Start(3);
  Generate();
  const std::string leaving = world->Stages()[1];
  world->worker(leaving).Leave();
  EXPECT_TRUE(world->RunUntil([&] { return world->HasLeft(leaving); }, absl::Seconds(10)));
  world->Kill(leaving);
  ExpectAllFinish();
  EXPECT_EQ(world->coordinator->counters().workers_lost, 0);
}

TEST_F(SurvivalTest, APausedWorkerGetsItsMachineBackAndTakesPartAgain) {
  Start(3);
  Generate();
  const std::string paused = world->Stages()[0];
  world->worker(paused).Pause(true);
  ExpectAllFinish();
  EXPECT_EQ(std::ranges::count(world->Stages(), paused), 0);
  world->worker(paused).Pause(false);
  EXPECT_TRUE(world->RunUntil([&] { return all_serve(3); }));
}

TEST_F(SurvivalTest, ANewWorkerIsTakenInWhileOthersStream) {
  Start(2);
  Generate();
  world->AddWorker("late");
  ExpectAllFinish();
  EXPECT_TRUE(world->RunUntil([&] { return all_serve(3); }));
}

TEST_F(SurvivalTest, ABrokenLinkBetweenTwoLiveWorkersIsGoneAround) {
  Start(3);
  Generate();
  const std::vector<std::string> stages = world->Stages();
  for (size_t i = 0; i + 1 < stages.size(); ++i) {
    world->faults.refused.insert({stages[i], stages[i + 1]});
    world->faults.refused.insert({stages[i + 1], stages[i]});
    world->network.BreakLinks(stages[i], stages[i + 1], absl::UnavailableError("cut"));
  }
  ExpectAllFinish();
  EXPECT_EQ(world->coordinator->counters().workers_lost, 0);
}

// A way that was closed may be open for a process that is new, elsewhere or behind another router.
TEST_F(SurvivalTest, AWorkerThatReturnsIsDialledAgain) {
  Start(2);
  const std::string a = world->Stages()[0], b = world->Stages()[1];
  const auto hop = [&] { return world->coordinator->membership().HopBetween(a, b); };
  EXPECT_EQ(hop(), wire::HopKind::kUpstreamDials);
  world->faults.refused = {{a, b}, {b, a}};
  world->network.BreakLinks(a, b, absl::UnavailableError("cut"));
  EXPECT_TRUE(world->RunUntil([&] { return hop() == wire::HopKind::kRelayed && all_serve(2); }));
  world->faults.refused.clear();
  world->Restart(b);
  EXPECT_TRUE(
      world->RunUntil([&] { return hop() == wire::HopKind::kUpstreamDials && all_serve(2); }));
  Generate();
  ExpectAllFinish();
}

TEST_F(SurvivalTest, WorkersThatNobodyCanDialAreRelayed) {
  world.emplace();
  for (const char* name : {"a", "b", "c"}) world->AddWorker(name, {.reachable = false});
  world->Load();
  ASSERT_TRUE(world->RunUntil([&] { return all_serve(3); }));
  Generate();
  ExpectAllFinish();
}

TEST_F(SurvivalTest, AnOpenLinkThatCarriesNothingIsGoneAround) {
  Start(3);
  Generate();
  // Steps vanish between two stages, and nobody is told.
  const std::vector<std::string> stages = world->Stages();
  world->faults.black_holes.insert({stages[0], stages[1]});
  ExpectAllFinish();
  EXPECT_EQ(world->coordinator->counters().workers_lost, 0);
  EXPECT_EQ(world->coordinator->membership().HopBetween(stages[0], stages[1]),
            wire::HopKind::kRelayed);
}

TEST_F(SurvivalTest, AStageThatMakesNoProgressIsReplaced) {
  Start(3);
  Generate();
  const std::string stuck = world->Stages()[1];
  world->stages.slowness[stuck] = 1e9;
  EXPECT_TRUE(world->RunUntil([&] { return world->coordinator->counters().workers_lost == 1; }));
  world->Kill(stuck);
  ExpectAllFinish(absl::Minutes(10));
}

TEST_F(SurvivalTest, CancelledRequestsLeaveNothingBehind) {
  Start(2);
  Generate();
  world->Cancel(*world->requests[1]);
  world->Cancel(*world->requests[2]);
  world->Run(absl::Seconds(60));
  EXPECT_TRUE(world->requests[0]->finished);
  EXPECT_TRUE(world->requests[3]->finished);
  EXPECT_EQ(world->instance().scheduler().num_active(), 0);
  EXPECT_EQ(world->instance().scheduler().num_waiting(), 0);
  ASSERT_TRUE(world->coordinator->Unload(world->instance_id).ok());
  world->Run(absl::Seconds(5));
  EXPECT_EQ(world->stages.alive, 0);
}

TEST_F(SurvivalTest, TheSplitThatAPersonWishesForIsCarriedOut) {
  world.emplace();
  world->Load(false, {{"b", 0, 3}, {"a", 4, 11}});
  world->AddWorker("a");
  world->Run(absl::Seconds(10));
  EXPECT_FALSE(world->ready());
  world->AddWorker("b");
  ASSERT_TRUE(world->RunUntil([&] { return world->ready(); }));
  EXPECT_EQ(world->Stages(), (std::vector<std::string>{"b", "a"}));
}

TEST_F(SurvivalTest, AWorkerWithoutRoomIsShunned) {
  world.emplace();
  for (int i = 0; i < 3; ++i) world->AddWorker("w" + std::to_string(i));
  int loads = 0;
  world->stages.on_load = [&](const std::string&) {
    return ++loads == 1 ? absl::ResourceExhaustedError("no room") : absl::OkStatus();
  };
  world->Load();
  ASSERT_TRUE(world->RunUntil([&] { return world->ready(); }, absl::Seconds(20)));
  EXPECT_EQ(world->Stages().size(), 2);
}

TEST_F(SurvivalTest, WhereEveryPlanIsRefusedStreamsEndInAnError) {
  Start(2);
  Generate();
  world->stages.on_load = [](const std::string&) {
    return absl::ResourceExhaustedError("no room");
  };
  world->Kill(world->Stages()[1]);
  world->Run(absl::Seconds(55));
  for (const auto& request : world->requests) EXPECT_FALSE(request->ended());
  world->Run(absl::Seconds(10));
  for (const auto& request : world->requests)
    EXPECT_EQ(request->failed.code(), absl::StatusCode::kUnavailable) << request->failed;
}

TEST_F(SurvivalTest, AStageThatFailsEveryStepIsLeftOut) {
  for (const auto code : {absl::StatusCode::kInternal, absl::StatusCode::kUnavailable,
                          absl::StatusCode::kFailedPrecondition}) {
    SCOPED_TRACE(absl::StatusCodeToString(code));
    Start(3);
    Generate();
    const std::string sick = world->Stages()[1];
    world->stages.on_step = [&](const std::string& who) {
      return who == sick ? absl::Status(code, "the device hangs") : absl::OkStatus();
    };
    ExpectAllFinish();
    const std::vector<std::string> stages = world->Stages();
    EXPECT_EQ(std::ranges::count(stages, sick), 0);
    EXPECT_EQ(world->coordinator->counters().workers_lost, 0);
  }
}

TEST_F(SurvivalTest, WhatAChangeThatCameToNothingHasLoadedIsFreed) {
  Start(2);
  world->stages.on_load = [](const std::string& who) {
    return who == "newcomer" ? absl::ResourceExhaustedError("no room") : absl::OkStatus();
  };
  world->AddWorker("newcomer");
  ASSERT_TRUE(world->RunUntil([&] { return world->stages.alive > 2; }));
  EXPECT_TRUE(
      world->RunUntil([&] { return world->stages.alive == 2 && all_serve(2); }, absl::Seconds(20)));
  Generate();
  ExpectAllFinish();
}

TEST_F(SurvivalTest, AfterARestartNobodyWaitsForAWorkerThatIsSetAside) {
  Start(3);
  ASSERT_EQ(world->Stages().size(), 3);
  ASSERT_TRUE(world->coordinator->membership().Pause("w1").ok());
  world->Kill("w2");
  ASSERT_TRUE(world->coordinator->membership().Drain("w2").ok());
  world->RestartCoordinator();
  world->Load();
  ASSERT_TRUE(world->RunUntil([&] { return world->ready(); }, absl::Seconds(20)));
  EXPECT_EQ(world->Stages(), (std::vector<std::string>{"w0"}));
  Generate();
  ExpectAllFinish();
}

TEST_F(SurvivalTest, AfterARestartTheWorkersOfTheLastPlanAreWaitedFor) {
  Start(3);
  world->Kill("w2");
  world->RestartCoordinator();
  world->Load();
  world->Run(absl::Seconds(20));
  EXPECT_FALSE(world->ready());
  world->Restart("w2");
  ASSERT_TRUE(world->RunUntil([&] { return world->ready(); }, absl::Seconds(20)));
  EXPECT_EQ(world->Stages().size(), 3);
}

TEST_F(SurvivalTest, WhatWasUnloadedIsForgottenInTheNextTerm) {
  Start(2);
  const model::InstanceId first = world->instance_id;
  world->Load();
  ASSERT_TRUE(world->coordinator->Unload(first).ok());
  world->Run(absl::Seconds(5));
  world->RestartCoordinator();
  world->Load();  // with the number of the one that was unloaded
  ASSERT_EQ(world->instance_id, first);
  EXPECT_TRUE(world->RunUntil([&] { return world->ready(); }, absl::Seconds(30)));
  Generate();
  ExpectAllFinish();
}

}  // namespace
}  // namespace potluck::sim
