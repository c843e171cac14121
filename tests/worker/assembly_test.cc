// Whole workers under an honest coordinator: each way in which a cluster changes, and then all of
// them at random. The text is always what one machine alone would answer.

#include <gtest/gtest.h>

#include "tests/worker/conductor.h"
#include "tests/worker/random_faults.h"

namespace potluck::worker {
namespace {

const Text kPrompt = {11, 22, 33, 44, 55};

class AssemblyTest : public ::testing::Test {
 protected:
  AssemblyTest() {
    for (const char* id : {"w1", "w2", "w3"}) world_.AddWorker(id);
    world_.Run();
    EXPECT_TRUE(conductor_.ChangeTo({"w1", "w2"}));
    EXPECT_TRUE(conductor_.Generate(5));
  }
  ~AssemblyTest() override {
    EXPECT_EQ(conductor_.log,
              Continue(kPrompt, static_cast<int>(conductor_.log.size() - kPrompt.size())));
    for (const char* id : {"w1", "w2", "w3"}) conductor_.Release(id);
    world_.Run();
    EXPECT_TRUE(world_.NothingHeld());
  }
  int NumLoads() const {
    int loads = 0;
    for (const auto& worker : world_.workers) loads += worker->loader->num_loads;
    return loads;
  }
  // Tokens that were computed again, or for the first time, for the next words.
  int64_t TokensFor(int words) {
    const int64_t before = conductor_.num_sent_tokens;
    EXPECT_TRUE(conductor_.Generate(words));
    return conductor_.num_sent_tokens - before;
  }
  int64_t LogSize() const { return static_cast<int64_t>(conductor_.log.size()); }

  WorkerWorld world_;
  Conductor conductor_{world_, kPrompt};
};

TEST_F(AssemblyTest, WordsComeOneStepAfterAnother) {
  EXPECT_EQ(TokensFor(10), 10);
  EXPECT_EQ(conductor_.log.size(), kPrompt.size() + 15);
}

TEST_F(AssemblyTest, WordsGoOnWhileTheNextPlanLoads) {
  for (const auto& worker : world_.workers) worker->loader->pace.load = absl::Seconds(5);
  conductor_.BeginEpoch({"w1", "w3", "w2"});
  const model::Epoch old{1, 1}, next = conductor_.epoch;
  conductor_.epoch = old;
  ASSERT_TRUE(conductor_.Generate(5));
  conductor_.epoch = next;
  EXPECT_EQ(conductor_.Find<wire::Prepared>(
                "w3", [&](const wire::Prepared& prepared) { return prepared.epoch == next; }),
            nullptr)
      << "still loading";
  world_.Run(absl::Seconds(5));
  const int64_t all = LogSize();
  ASSERT_TRUE(conductor_.AwaitPrepared() && conductor_.Fence() && conductor_.Commit());
  EXPECT_EQ(TokensFor(3), all + 2) << "others' layers: all is computed again";
  EXPECT_TRUE(world_.workers[0]->loader->logs[0]->alive == 0) << "half of the model";
}

TEST_F(AssemblyTest, AStepInFlightAtTheFenceIsForgottenAndComputedAgain) {
  ASSERT_TRUE(conductor_.SendStep());
  ASSERT_TRUE(conductor_.ChangeTo({"w1", "w2"}));
  EXPECT_EQ(TokensFor(4), 4) << "the same layers: what was committed is held";
  EXPECT_EQ(NumLoads(), 2);
}

TEST_F(AssemblyTest, AHopThatIsNeededNoMoreIsNotToldAsLost) {
  ASSERT_TRUE(conductor_.ChangeTo({"w1", "w3"}));
  ASSERT_TRUE(conductor_.Generate(3));
  for (const char* id : {"w1", "w2", "w3"})
    EXPECT_TRUE(world_.Control(id).All<wire::LinkLost>().empty()) << id;
}

TEST_F(AssemblyTest, ADrainedWorkerServesUntilItsLayersHaveMoved) {
  world_.Find("w2").worker->Leave();
  ASSERT_TRUE(conductor_.Generate(3));
  ASSERT_NE(conductor_.Find<wire::Leaving>("w2", [](const wire::Leaving&) { return true; }),
            nullptr);
  ASSERT_TRUE(conductor_.ChangeTo({"w1", "w3"}));
  const int64_t all = LogSize();
  EXPECT_FALSE(world_.Find("w2").left);
  world_.Say("w2", wire::MayLeave{});
  EXPECT_EQ(TokensFor(3), all + 2);
  EXPECT_TRUE(world_.Find("w2").left);
  world_.Kill("w2");  // the process ends
  EXPECT_TRUE(conductor_.Generate(3));
  EXPECT_EQ(world_.workers[1]->loader->NumAlive(), 0);
}

TEST_F(AssemblyTest, APausedWorkersLayersMoveAndComeBack) {
  world_.Find("w2").worker->Pause(true);
  world_.Run();
  const auto pausing = world_.Control("w2").All<wire::Pausing>();
  ASSERT_EQ(pausing.size(), 1u);
  EXPECT_TRUE(pausing[0].paused);
  ASSERT_TRUE(conductor_.ChangeTo({"w1", "w3"}));
  conductor_.Release("w2");
  ASSERT_TRUE(conductor_.Generate(3));
  EXPECT_EQ(world_.Find("w2").loader->NumAlive(), 0) << "the owner has the machine back";
  world_.Find("w2").worker->Pause(false);
  world_.Run();
  EXPECT_FALSE(world_.Control("w2").All<wire::Pausing>().back().paused);
  ASSERT_TRUE(conductor_.ChangeTo({"w1", "w2"}));
  EXPECT_TRUE(conductor_.Generate(3));
}

TEST_F(AssemblyTest, ACoordinatorThatComesBackFindsLayersAndKv) {
  ASSERT_TRUE(conductor_.SendStep());
  world_.coordinator_transport->Vanish();
  world_.Run(absl::Minutes(3));
  EXPECT_FALSE(world_.Find("w1").worker->joined());
  world_.coordinator_transport = world_.network.AddNode(wire::kCoordinator, {"coordinator:7071"},
                                                        *world_.coordinator_executor);
  world_.coordinator_transport->Listen(world_.coordinator);
  world_.Run(absl::Seconds(31));
  const auto hellos = world_.Control("w2").All<wire::WorkerHello>();
  ASSERT_EQ(hellos.size(), 1u);
  EXPECT_EQ(hellos[0].process, 8u) << "the same process";
  conductor_.Restart();
  ASSERT_TRUE(conductor_.ChangeTo({"w1", "w2"}));
  EXPECT_EQ(TokensFor(4), 4);
  EXPECT_EQ(NumLoads(), 2) << "no weights are sent again";
}

TEST_F(AssemblyTest, AWorkerWhoseLinksBrokeReturnsWithItsKv) {
  world_.network.BreakLinks("w2", "", absl::UnavailableError("Wi-Fi"));
  world_.Run(absl::Seconds(3));
  EXPECT_EQ(world_.Find("w2").num_joined, 2);
  EXPECT_FALSE(world_.Control("w1").All<wire::LinkLost>().empty());
  ASSERT_TRUE(conductor_.ChangeTo({"w1", "w2"}));
  EXPECT_EQ(TokensFor(4), 4);
  EXPECT_EQ(NumLoads(), 2);
}

TEST_F(AssemblyTest, AKilledWorkersLayersAreComputedAgainElsewhere) {
  ASSERT_TRUE(conductor_.SendStep());
  world_.Run(absl::Milliseconds(15));  // it is at w2
  ASSERT_EQ(world_.workers[0]->loader->logs[0]->Length(Conductor::kSequence), LogSize());
  world_.Kill("w2");
  EXPECT_FALSE(conductor_.TakeWord());
  const int64_t all = LogSize();
  ASSERT_TRUE(conductor_.ChangeTo({"w1", "w3"}));
  EXPECT_EQ(TokensFor(3), all + 2);
  EXPECT_EQ(NumLoads(), 3) << "w1 keeps its own";
}

TEST_F(AssemblyTest, ADeathWhileTheNextEpochLoadsIsOvertakenByAnother) {
  conductor_.BeginEpoch({"w1", "w2", "w3"});
  world_.Run(absl::Milliseconds(50));
  world_.Kill("w3");
  EXPECT_FALSE(conductor_.AwaitPrepared());
  ASSERT_TRUE(conductor_.ChangeTo({"w1", "w2"}));
  EXPECT_EQ(TokensFor(3), 3) << "the epoch before was never fenced: all is held";
}

// ---- all of it at random, by a seed ----

class Weather {
 public:
  static constexpr int kWords = 30;
  static constexpr int kMostEpochs = 1000;

  explicit Weather(uint64_t seed) : dice_(seed) {
    for (const char* id : kIds) world_.AddWorker(id);
    world_.Run();
    conductor_.copies = [this] { return dice_.OneIn(4) ? 2 : 1; };
    conductor_.disturb = [this] { Disturb(); };
  }

  uint64_t Run() {
    const size_t enough = kPrompt.size() + kWords;
    int epochs = 0;
    for (; conductor_.log.size() < enough && epochs < kMostEpochs; ++epochs) {
      faults_.calm = dice_.OneIn(2);
      const std::vector<wire::WorkerId> pipeline = DrawPipeline();
      if (pipeline.empty() || !conductor_.ChangeTo(pipeline)) {
        world_.Run();
        continue;
      }
      while (conductor_.log.size() < enough && !dice_.OneIn(10)) {
        if (!conductor_.SendStep()) break;
        Disturb();
        if (!conductor_.TakeWord()) break;
      }
    }
    EXPECT_EQ(conductor_.log, Continue(kPrompt, kWords)) << epochs << " epochs";
    faults_.calm = true;
    ResumeAll();
    world_.Run(absl::Minutes(1));
    for (const char* id : kIds) conductor_.Release(id);
    world_.Run();
    EXPECT_TRUE(world_.NothingHeld());
    return world_.time.trace_hash();
  }

 private:
  static constexpr std::array<const char*, 4> kIds = {"w1", "w2", "w3", "w4"};

  // One to three of those that are there; now and then one twice.
  std::vector<wire::WorkerId> DrawPipeline() {
    std::vector<wire::WorkerId> there, pipeline;
    for (const char* id : kIds) {
      if (world_.coordinator.Find(id, wire::LinkKind::kControl) != nullptr) there.push_back(id);
    }
    const int64_t stages = dice_.Pick(1, 3);
    while (!there.empty() && std::ssize(pipeline) < stages) {
      const auto at = there.begin() + dice_.Pick(0, std::ssize(there) - 1);
      pipeline.push_back(*at);
      if (!dice_.OneIn(8)) there.erase(at);
    }
    return pipeline;
  }

  void Disturb() {
    const wire::WorkerId id = kIds[static_cast<size_t>(dice_.Pick(0, 3))];
    switch (dice_.Pick(0, 40)) {
      case 0:
        world_.Kill(id);
        world_.AddWorker(id);  // another process, at once or before it was missed
        break;
      case 1:
        world_.network.BreakLinks(id, "", absl::UnavailableError("drawn"));
        break;
      case 2:
        world_.network.BreakLinks(id, dice_.OneIn(2) ? "w1" : "w2", absl::UnavailableError("cut"));
        break;
      case 3:
        world_.network.BreakLinks(wire::kCoordinator, "", absl::UnavailableError("restart"));
        conductor_.Restart();
        break;
      case 4:
        world_.Find(id).executor->Pause();  // SIGSTOP
        break;
      case 5:
      case 6:
        ResumeAll();
        break;
      default:
        world_.Run(absl::Milliseconds(dice_.Pick(0, 20)));
    }
  }

  void ResumeAll() {
    for (const char* id : kIds) world_.Find(id).executor->Resume();
  }

  Dice dice_;
  RandomFaults faults_{dice_};
  WorkerWorld world_{&faults_};
  Conductor conductor_{world_, kPrompt};
};

class WeatherTest : public ::testing::TestWithParam<uint64_t> {};

TEST_P(WeatherTest, TheTextIsTheSameWhateverHappens) { Weather(GetParam()).Run(); }

INSTANTIATE_TEST_SUITE_P(Seeds, WeatherTest, ::testing::Range<uint64_t>(1, 61));

TEST(WeatherTraceTest, ASeedGivesTheSameRunTwice) { EXPECT_EQ(Weather(7).Run(), Weather(7).Run()); }

}  // namespace
}  // namespace potluck::worker
