#include "tests/testing/cpu_targets.h"

#include <cstdlib>
#include <iostream>

#include "absl/strings/str_split.h"
#include "kernels/cpu/cpu_backend.h"

namespace potluck::kernels {
namespace {

bool IsRequired(const std::string& target) {
  const char* required = std::getenv("POTLUCK_REQUIRE_TARGETS");
  if (required == nullptr) return false;
  for (const absl::string_view name : absl::StrSplit(required, ',')) {
    if (name == target) return true;
  }
  return false;
}

}  // namespace

std::vector<std::string> CpuTargetNames() {
  std::vector<std::string> names;
  for (const CpuTarget& target : CpuTargets()) names.emplace_back(target.name);
  return names;
}

void CpuTargetTest::SetUp() {
  if (ChooseCpuTarget(GetParam()).ok()) return;
  if (IsRequired(GetParam())) FAIL() << GetParam() << " is required, and this machine lacks it";
  GTEST_SKIP() << "this machine lacks " << GetParam();
}

std::unique_ptr<Backend> CpuTargetTest::MakeBackend(int num_threads) const {
  auto backend = CpuBackend::Create(
      {.num_threads = num_threads, .target = GetParam(), .least_shared = absl::Microseconds(1)});
  if (!backend.ok()) {
    ADD_FAILURE() << backend.status();
    return nullptr;
  }
  return *std::move(backend);
}

uint32_t TestSeed() {
  static const uint32_t seed = [] {
    const char* text = std::getenv("POTLUCK_TEST_SEED");
    const uint32_t chosen = text == nullptr ? 1 : std::strtoul(text, nullptr, 10);
    std::cout << "seed " << chosen << " (POTLUCK_TEST_SEED sets it)\n";
    return chosen;
  }();
  return seed;
}

}  // namespace potluck::kernels
