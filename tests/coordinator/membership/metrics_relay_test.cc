#include "coordinator/membership/metrics_relay.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/testing/simulated_executor.h"

namespace potluck::coordinator {
namespace {

class MetricsRelayTest : public testing::Test {
 protected:
  // How the n-th question has ended; nothing: it has not.
  void Ask(const wire::WorkerId& worker) {
    const size_t index = answers_.size();
    answers_.emplace_back();
    relay_.Ask(worker, [this, index](absl::StatusOr<std::string> text) {
      EXPECT_FALSE(answers_[index].has_value()) << "told twice";
      answers_[index] = std::move(text);
    });
  }
  absl::StatusCode CodeOf(size_t index) const {
    return answers_[index].has_value() ? answers_[index]->status().code()
                                       : absl::StatusCode::kUnknown;
  }

  SimulatedTime time_;
  std::unique_ptr<SimulatedExecutor> executor_ = time_.MakeExecutor();
  std::vector<std::pair<wire::WorkerId, int64_t>> asked_;
  std::vector<std::optional<absl::StatusOr<std::string>>> answers_;
  MetricsRelay relay_{*executor_, [this](const wire::WorkerId& worker, wire::Message message) {
                        if (worker == "gone") return false;
                        asked_.emplace_back(worker, std::get<wire::MetricsRequest>(message).number);
                        return true;
                      }};
};

TEST_F(MetricsRelayTest, BringsEachAnswerToWhoAsked) {
  Ask("a");
  Ask("b");
  Ask("a");
  relay_.OnReply("a", {.number = asked_[2].second, .text = "third"});
  relay_.OnReply("b", {.number = asked_[1].second, .text = "second"});
  EXPECT_EQ(CodeOf(0), absl::StatusCode::kUnknown);
  EXPECT_EQ(**answers_[1], "second");
  EXPECT_EQ(**answers_[2], "third");
  // Another worker cannot answer for it, nor can anybody twice.
  relay_.OnReply("b", {.number = asked_[0].second, .text = "false"});
  relay_.OnReply("b", {.number = asked_[1].second, .text = "again"});
  relay_.OnReply("a", {.number = 99, .text = "unasked"});
  EXPECT_EQ(CodeOf(0), absl::StatusCode::kUnknown);
  relay_.OnReply("a", {.number = asked_[0].second, .text = "first"});
  EXPECT_EQ(**answers_[0], "first");
}

TEST_F(MetricsRelayTest, WhoIsGoneOrSilentIsNotWaitedFor) {
  Ask("gone");
  EXPECT_EQ(CodeOf(0), absl::StatusCode::kUnavailable);
  Ask("a");
  Ask("b");
  relay_.OnLost("a");
  EXPECT_EQ(CodeOf(1), absl::StatusCode::kUnavailable);
  EXPECT_EQ(CodeOf(2), absl::StatusCode::kUnknown);
  time_.RunFor(MetricsRelay::kPatience + absl::Milliseconds(1));
  EXPECT_EQ(CodeOf(2), absl::StatusCode::kDeadlineExceeded);
  relay_.OnReply("b", {.number = asked_[1].second, .text = "too late"});
}

TEST_F(MetricsRelayTest, HoldsSoManyAndNoMore) {
  for (size_t i = 0; i <= MetricsRelay::kMostWaiting; ++i) Ask("a");
  EXPECT_EQ(CodeOf(MetricsRelay::kMostWaiting - 1), absl::StatusCode::kUnknown);
  EXPECT_EQ(CodeOf(MetricsRelay::kMostWaiting), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace potluck::coordinator
