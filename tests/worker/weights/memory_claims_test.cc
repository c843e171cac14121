// What stages may take of a device while others hold some of it.
#include "worker/weights/memory_claims.h"

#include <gtest/gtest.h>

#include <vector>

namespace potluck::worker {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

class MemoryClaimsTest : public testing::Test {
 protected:
  bool Take(const std::string& device, model::InstanceId instance, int64_t mib) {
    auto claim = claims_.Take(device, instance, mib * kMiB);
    error_ = claim.status();
    if (claim.ok()) held_.push_back(*std::move(claim));
    return error_.ok();
  }

  MemoryClaims claims_{100 * kMiB};
  std::vector<std::unique_ptr<MemoryClaims::Claim>> held_;
  absl::Status error_;
};

TEST_F(MemoryClaimsTest, KeepsTheLimitOfEachDevice) {
  EXPECT_TRUE(Take("cpu", 1, 60));
  EXPECT_FALSE(Take("cpu", 2, 41));
  EXPECT_EQ(error_.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(error_.message(),
            "the layers take 41 MiB of cpu, beside 60 MiB of other models, and its owner lends 100 "
            "MiB (--memory)");
  EXPECT_TRUE(Take("cpu", 2, 40));
  EXPECT_TRUE(Take("opencl:0", 3, 100));
  EXPECT_EQ(claims_.HeldBytes("cpu"), 100 * kMiB);
  EXPECT_EQ(claims_.HeldBytes("opencl:0"), 100 * kMiB);
  EXPECT_EQ(claims_.HeldBytes("opencl:1"), 0);
}

// While a plan changes, an instance's old stage is there until the new one is.
TEST_F(MemoryClaimsTest, ANewStageReplacesTheOneBefore) {
  EXPECT_TRUE(Take("cpu", 1, 60));
  EXPECT_TRUE(Take("cpu", 1, 80));
  EXPECT_EQ(claims_.HeldBytes("cpu"), 140 * kMiB);
  EXPECT_FALSE(Take("cpu", 2, 21));
  held_.erase(held_.begin() + 1);  // the new one was given up
  EXPECT_FALSE(Take("cpu", 2, 41));
  EXPECT_TRUE(Take("cpu", 2, 40));
  held_.clear();
  EXPECT_EQ(claims_.HeldBytes("cpu"), 0);
  EXPECT_FALSE(Take("cpu", 1, 101));
}

TEST_F(MemoryClaimsTest, NoLimitIsNone) {
  MemoryClaims claims(0);
  const auto claim = claims.Take("cpu", 1, int64_t{1} << 60);
  ASSERT_TRUE(claim.ok());
  EXPECT_EQ(claims.HeldBytes("cpu"), int64_t{1} << 60);
}

TEST_F(MemoryClaimsTest, AClaimMayOutliveThem) {
  auto claims = std::make_unique<MemoryClaims>(0);
  auto claim = claims->Take("cpu", 1, 1);
  ASSERT_TRUE(claim.ok());
  claims.reset();
  claim->reset();
}

}  // namespace
}  // namespace potluck::worker
