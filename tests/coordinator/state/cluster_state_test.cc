#include "coordinator/state/cluster_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace potluck::coordinator {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

ClusterState AState() {
  ClusterState state{.term = 7, .instances = {}, .workers = {}};
  state.instances.push_back({.request = {.model = "/models/a.gguf", .context_length = 4096},
                             .placements = {{"w1/cpu", 0, 11}, {"w2/cpu", 11, 22}}});
  state.workers = {{.worker = "w1", .name = "attic", .drained = true},
                   {.worker = "w2", .name = "desk", .paused = true, .left = true}};
  return state;
}

TEST(ClusterStateTest, IsReadAsItWasWritten) {
  const auto read = ParseClusterState(ToJson(AState(), kNow), kNow);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->term, 7);
  ASSERT_EQ(read->instances.size(), 1u);
  EXPECT_EQ(read->instances[0].request.model, "/models/a.gguf");
  EXPECT_EQ(read->instances[0].request.context_length, 4096);
  ASSERT_EQ(read->instances[0].placements.size(), 2u);
  EXPECT_EQ(read->instances[0].placements[1].device_id, "w2/cpu");
  EXPECT_EQ(read->instances[0].placements[1].first, 11);
  ASSERT_EQ(read->workers.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    KnownWorker worker = read->workers[i];
    EXPECT_LT(worker.silent_for, absl::Hours(24));  // to the day
    worker.silent_for = absl::ZeroDuration();
    EXPECT_EQ(worker, AState().workers[i]);
  }
}

TEST(ClusterStateTest, DoesNotChangeWithEverySecond) {
  const absl::Time later = kNow + absl::Hours(1);
  EXPECT_EQ(ToJson(AState(), kNow), ToJson(AState(), later));
}

TEST(ClusterStateTest, ForgetsWhoWasNotSeenForLong) {
  ClusterState state = AState();
  state.workers[0].silent_for = kWorkerMemory - absl::Hours(48);
  state.workers[1].silent_for = kWorkerMemory;
  const std::string text = ToJson(state, kNow);
  const auto read = ParseClusterState(text, kNow + absl::Hours(24));
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->workers.size(), 1u);
  EXPECT_EQ(read->workers[0].worker, "w1");
  // A clock that was put back makes nobody older than new.
  const auto before = ParseClusterState(text, absl::UnixEpoch());
  ASSERT_TRUE(before.ok()) << before.status();
  EXPECT_EQ(before->workers[0].silent_for, absl::ZeroDuration());
}

TEST(ClusterStateTest, OneOfAnOlderVersionKnowsNoWorkers) {
  const auto read = ParseClusterState(R"({"term": 3, "instances": []})", kNow);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->term, 3);
  EXPECT_TRUE(read->workers.empty());
}

TEST(ClusterStateTest, SaysWhatIsBroken) {
  for (const auto& [text, says] : std::vector<std::pair<std::string, std::string>>{
           {"", "state"},
           {"[]", "state"},
           {R"({"instances": []})", "term"},
           {R"({"term": -1, "instances": []})", "term"},
           {R"({"term": 1})", "instances"},
           {R"({"term": 1, "instances": [3]})", "instance"},
           {R"({"term": 1, "instances": [{"request": {"model": "m"}}]})", "instance"},
           {R"({"term": 1, "instances": [{"request": {}, "placements": []}]})", "model"},
           {R"({"term": 1, "instances": [{"request": {"model": "m"}, "placements": [{}]}]})",
            "placement"},
           {R"({"term": 1, "instances": [], "workers": {}})", "workers"},
           {R"({"term": 1, "instances": [], "workers": [{"worker": "w"}]})", "worker"},
           {R"({"term": 1, "instances": [], "workers":
               [{"worker": "w", "name": "n", "last_seen": 1, "drained": "yes"}]})",
            "drained"}}) {
    const auto read = ParseClusterState(text, kNow);
    EXPECT_TRUE(absl::IsInvalidArgument(read.status())) << text << ": " << read.status();
    EXPECT_THAT(std::string(read.status().message()), testing::HasSubstr(says)) << text;
  }
}

}  // namespace
}  // namespace potluck::coordinator
