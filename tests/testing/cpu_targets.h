// Tests that run once per instruction set of kernels/targets.inc.
//
//   class RmsNormTest : public CpuTargetTest {};
//   TEST_P(RmsNormTest, ...) { auto backend = MakeBackend(/*num_threads=*/3); ... }
//   POTLUCK_INSTANTIATE_CPU_TARGETS(RmsNormTest);
//
// A target that this machine lacks is skipped, visibly; where the environment's
// POTLUCK_REQUIRE_TARGETS (a comma-separated list) names it, its tests fail instead.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace potluck::kernels {

std::vector<std::string> CpuTargetNames();

class CpuTargetTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override;
  std::unique_ptr<Backend> MakeBackend(int num_threads) const;
};

// The seed of this run: POTLUCK_TEST_SEED, or 1. Printed once.
uint32_t TestSeed();

}  // namespace potluck::kernels

#define POTLUCK_INSTANTIATE_CPU_TARGETS(suite)                               \
  INSTANTIATE_TEST_SUITE_P(                                                  \
      Cpu, suite, ::testing::ValuesIn(::potluck::kernels::CpuTargetNames()), \
      [](const ::testing::TestParamInfo<std::string>& target_info) { return target_info.param; })
