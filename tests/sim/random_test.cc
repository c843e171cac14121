// Thousands of clusters with faults at random moments, by seed: no request may hang, lose, double
// or change a token. POTLUCK_TEST_SEED repeats one; POTLUCK_TEST_CASES runs more of them.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/sim/sim_world.h"

namespace potluck::sim {
namespace {

int64_t FromEnvironment(const char* name, int64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoll(value, nullptr, 10);
}

// Of all cases: they say something only if much went wrong and most went well in the end.
struct Tally {
  int64_t finished = 0, failed = 0, resumed = 0, replans = 0;
};

class Scenario {
 public:
  explicit Scenario(uint64_t seed) : random_(seed), world_(RandomModel()) {}

  // What must hold is checked; the result tells two runs apart.
  uint64_t Run() {
    AddWorkers();
    world_.Load(Chance(2));
    for (int i = 0; i < 40; ++i) {
      world_.Run(absl::Milliseconds(Below(1500)));
      Happen();
    }
    Heal();
    CheckRequests();
    CheckThatItServes();
    return world_.time.trace_hash();
  }

  Tally tally;

 private:
  uint64_t Below(uint64_t bound) { return random_() % bound; }
  bool Chance(uint64_t one_in) { return Below(one_in) == 0; }

  SimModel RandomModel() {
    SimModel model;
    model.num_layers = 2 + static_cast<int64_t>(Below(12));
    model.layer_bytes = static_cast<int64_t>(1 + Below(4)) * (int64_t{100} << 20);
    model.window = Chance(3) ? 64 : 0;
    model.context_length = 256;
    model.parallel = 1 + static_cast<int64_t>(Below(5));
    return model;
  }

  void AddWorkers() {
    const uint64_t count = 1 + Below(6);
    for (uint64_t i = 0; i < count; ++i) {
      world_.AddWorker("w" + std::to_string(i),
                       {.memory_bytes = static_cast<int64_t>(1 + Below(6)) << 30,
                        .bytes_per_second = static_cast<double>(1 + Below(40)) * 1e9,
                        .reachable = !Chance(5),
                        .host = Chance(4) ? "shared" : ""});
    }
    world_.stages.kept_rows = static_cast<int64_t>(Below(3)) * 50;
    world_.stages.on_step = [this](const std::string&) {
      return faulty_ && Chance(400) ? absl::InternalError("a device hiccup") : absl::OkStatus();
    };
    world_.stages.on_load = [this](const std::string&) {
      return faulty_ && Chance(20) ? absl::ResourceExhaustedError("disk full") : absl::OkStatus();
    };
  }

  void Happen() {
    const std::vector<std::string> names = world_.names();
    const std::string& name = names[Below(names.size())];
    const std::string& other = names[Below(names.size())];
    switch (Below(13)) {
      case 0:
        world_.Kill(name, Chance(2));
        break;
      case 1:
        world_.Restart(name);
        break;
      case 2:
        if (world_.IsAlive(name)) world_.Freeze(name);
        break;
      case 3:
        if (world_.IsAlive(name)) world_.Thaw(name);
        break;
      case 4:
        world_.faults.refused.insert({name, other});
        world_.network.BreakLinks(name, other, absl::UnavailableError("cut"));
        break;
      case 5:
        world_.network.BreakLinks(name, "", absl::UnavailableError("a flapping Wi-Fi"));
        break;
      case 6:
        world_.faults.black_holes.insert({name, Chance(2) ? other : wire::kCoordinator});
        break;
      case 7:
        world_.faults.black_holes.clear();
        world_.faults.delay = absl::Milliseconds(Below(30));
        break;
      case 8:
        if (world_.IsAlive(name)) world_.worker(name).Pause(Chance(2));
        break;
      case 9:
        if (!world_.requests.empty())
          world_.Cancel(*world_.requests[Below(world_.requests.size())]);
        break;
      case 10: {
        const auto length = 1 + static_cast<int64_t>(Below(150));
        const auto rows_from = static_cast<int32_t>(Below(static_cast<uint64_t>(length)));
        world_.Submit(length, -1, random_(), rows_from);
        break;
      }
      default:
        world_.Submit(1 + static_cast<int64_t>(Below(150)), static_cast<int64_t>(Below(80)),
                      random_());
    }
  }

  void Heal() {
    faulty_ = false;
    world_.faults.black_holes.clear();
    world_.faults.refused.clear();
    world_.faults.delay = absl::Milliseconds(1);
    for (const std::string& name : world_.names()) {
      if (world_.IsAlive(name)) {
        world_.Thaw(name);
        world_.worker(name).Pause(false);
      } else {
        world_.Restart(name);
      }
    }
    const bool ended = world_.RunUntil(
        [&] {
          return std::ranges::all_of(world_.requests, [](const auto& r) { return r->ended(); });
        },
        absl::Minutes(30));
    EXPECT_TRUE(ended) << "a request hangs";
  }

  void CheckRequests() {
    for (const auto& request : world_.requests) {
      const std::vector<model::TokenId> expected = world_.Expected(*request);
      if (request->finished) {
        EXPECT_EQ(request->tokens, expected);
        EXPECT_EQ(request->rows, world_.ExpectedRows(*request));
      } else {
        ASSERT_LE(request->tokens.size(), expected.size());
        EXPECT_TRUE(std::equal(request->tokens.begin(), request->tokens.end(), expected.begin()));
      }
      const absl::StatusCode code = request->failed.code();
      EXPECT_TRUE(code == absl::StatusCode::kOk || code == absl::StatusCode::kUnavailable ||
                  code == absl::StatusCode::kAborted || code == absl::StatusCode::kInternal ||
                  code == absl::StatusCode::kResourceExhausted)
          << request->failed;
    }
    EXPECT_EQ(world_.stages.errors, std::vector<std::string>());
    for (const auto& request : world_.requests) {
      tally.finished += request->finished;
      tally.failed += !request->failed.ok();
    }
    tally.resumed += world_.instance().scheduler().counters().requests_resumed;
    tally.replans += world_.coordinator->counters().replans;
  }

  // Where the workers can hold the model at all, it comes back; then nothing of it stays.
  void CheckThatItServes() {
    world_.Run(absl::Minutes(12));  // until nobody rests any more
    if (world_.RunUntil([&] { return world_.ready(); }, absl::Minutes(15))) {
      SimRequest& last = world_.Submit(20, 10, 5);
      EXPECT_TRUE(world_.RunUntil([&] { return last.ended(); }, absl::Minutes(5)));
      EXPECT_TRUE(last.finished) << last.failed;
      EXPECT_EQ(last.tokens, world_.Expected(last));
    } else {
      EXPECT_FALSE(world_.coordinator->TroubleOf(world_.instance_id).ok());
    }
    EXPECT_TRUE(world_.coordinator->Unload(world_.instance_id).ok());
    world_.Run(absl::Seconds(30));
    EXPECT_EQ(world_.stages.alive, 0);
  }

  std::mt19937_64 random_;
  SimWorld world_;
  bool faulty_ = true;
};

TEST(RandomTest, NoRequestHangsOrChangesItsWords) {
  const auto first = static_cast<uint64_t>(FromEnvironment("POTLUCK_TEST_SEED", 1));
  const int64_t cases = FromEnvironment("POTLUCK_TEST_CASES", 400);
  Tally all;
  for (uint64_t seed = first; seed < first + static_cast<uint64_t>(cases); ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Scenario scenario(seed);
    scenario.Run();
    if (HasFailure()) return;
    all.finished += scenario.tally.finished;
    all.failed += scenario.tally.failed;
    all.resumed += scenario.tally.resumed;
    all.replans += scenario.tally.replans;
  }
  if (cases < 100) return;
  EXPECT_GT(all.finished, cases);
  EXPECT_GT(all.resumed, cases / 4);
  EXPECT_GT(all.replans, 2 * cases);
}

TEST(RandomTest, ASeedReplaysToTheSameTrace) {
  for (uint64_t seed = 1; seed < 6; ++seed) {
    EXPECT_EQ(Scenario(seed).Run(), Scenario(seed).Run());
  }
}

}  // namespace
}  // namespace potluck::sim
