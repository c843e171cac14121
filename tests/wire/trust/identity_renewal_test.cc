// A certificate's life under a clock that the test moves.
#include "wire/trust/identity_renewal.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/testing/simulated_executor.h"
#include "tests/wire/testing/test_cluster.h"
#include "wire/trust/stored_identity.h"

namespace potluck::wire {
namespace {

constexpr absl::Duration kDay = absl::Hours(24);

class IdentityRenewalTest : public testing::Test {
 protected:
  absl::Time now() const { return begin_ + executor_->clock().SinceStart() + slept_; }
  TlsIdentity Issue() const { return cluster_.authority().MakeWorkerIdentity(key_, now()).value(); }
  void Start() {
    renewal_ = std::make_unique<IdentityRenewal>(
        IdentityRenewal::Options{
            .identity = Issue(),
            .now = [this] { return now(); },
            .renew = [this](const TlsIdentity& old) -> absl::StatusOr<TlsIdentity> {
              asked_.push_back(now());
              asked_with_ = old;
              if (!fault_.ok()) return fault_;
              return Issue();
            },
            .renewed = [this](const TlsIdentity& identity) { renewed_.push_back(identity); }},
        *executor_, *files_);
  }
  // The one that the process uses is good.
  bool good() const {
    const auto life = LifeOf(renewed_.back());
    return life.ok() && now() < life->end;
  }

  const TestCluster cluster_;
  const std::string key_ = MakePrivateKey().value();
  SimulatedTime time_;
  std::unique_ptr<SimulatedExecutor> executor_ = time_.MakeExecutor(),
                                     files_ = time_.MakeExecutor();
  const absl::Time begin_ = TestCluster::now();
  absl::Duration slept_;
  absl::Status fault_;
  std::vector<absl::Time> asked_;
  TlsIdentity asked_with_;
  std::vector<TlsIdentity> renewed_;
  std::unique_ptr<IdentityRenewal> renewal_;
};

TEST_F(IdentityRenewalTest, RenewsLongBeforeTheEndAndAgain) {
  const TlsIdentity first = Issue();
  const IdentityLife life = LifeOf(first).value();
  Start();
  time_.RunFor(life.renew - begin_ - kDay);
  EXPECT_TRUE(asked_.empty());
  time_.RunFor(2 * kDay);
  ASSERT_EQ(asked_.size(), 1u);
  EXPECT_EQ(renewed_.size(), 1u);
  EXPECT_EQ(asked_with_.id, first.id);
  EXPECT_EQ(renewed_[0].id, first.id);
  EXPECT_GT(LifeOf(renewed_[0])->end, life.end);
  // Two lives later it has been renewed again and again, and never needlessly.
  time_.RunFor(2 * (life.end - begin_));
  EXPECT_GE(renewed_.size(), 8u);
  EXPECT_LE(renewed_.size(), 10u);
  EXPECT_EQ(asked_.size(), renewed_.size());
  EXPECT_TRUE(good());
  EXPECT_EQ(asked_with_.certificate, renewed_[renewed_.size() - 2].certificate);
}

TEST_F(IdentityRenewalTest, TriesAgainEverLessOften) {
  fault_ = absl::UnavailableError("the coordinator is away");
  Start();
  time_.RunFor(LifeOf(Issue())->renew - begin_ + kDay);
  EXPECT_GT(asked_.size(), 20u);
  EXPECT_LT(asked_.size(), 24 + 10u);
  EXPECT_EQ(asked_[1] - asked_[0], IdentityRenewal::kShortestWait);
  for (size_t i = 1; i < asked_.size(); ++i)
    EXPECT_LE(asked_[i] - asked_[i - 1], IdentityRenewal::kLongestWait);
  EXPECT_TRUE(renewed_.empty());
  fault_ = absl::OkStatus();
  time_.RunFor(IdentityRenewal::kLongestWait);
  EXPECT_EQ(renewed_.size(), 1u);
  // The next failure begins with the shortest wait again.
  fault_ = absl::UnavailableError("the coordinator is away");
  asked_.clear();
  time_.RunFor(LifeOf(renewed_[0])->renew - now() + kDay);
  ASSERT_GT(asked_.size(), 1u);
  EXPECT_EQ(asked_[1] - asked_[0], IdentityRenewal::kShortestWait);
}

// The executor's clock stands still while a laptop sleeps, a certificate's does not.
TEST_F(IdentityRenewalTest, NoticesTheTimeThatAMachineSlept) {
  Start();
  time_.RunFor(kDay);
  slept_ = 300 * kDay;
  time_.RunFor(IdentityRenewal::kLook + absl::Seconds(1));
  EXPECT_EQ(renewed_.size(), 1u);
  EXPECT_TRUE(good());
}

TEST_F(IdentityRenewalTest, OneThatIsDueIsRenewedAtOnce) {
  const TlsIdentity old = Issue();
  slept_ = 300 * kDay;
  renewal_ = std::make_unique<IdentityRenewal>(
      IdentityRenewal::Options{
          .identity = old,
          .now = [this] { return now(); },
          .renew = [this](const TlsIdentity&) { return Issue(); },
          .renewed = [this](const TlsIdentity& identity) { renewed_.push_back(identity); }},
      *executor_, *files_);
  time_.RunFor(absl::Seconds(1));
  EXPECT_EQ(renewed_.size(), 1u);
}

TEST_F(IdentityRenewalTest, EndsInTheMidstOfIt) {
  Start();
  slept_ = 300 * kDay;
  while (asked_.empty()) ASSERT_TRUE(time_.RunNext());
  renewal_.reset();
  time_.RunFor(kDay);
  EXPECT_TRUE(renewed_.empty());
}

}  // namespace
}  // namespace potluck::wire
