#include "kernels/cpu/cpu_target.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <array>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/text.h"
#include "kernels/cpu/float_kernels.h"
#include "kernels/cpu/product_kernels.h"

namespace potluck::kernels {
namespace {

bool cpu_scalar_supported() { return true; }
#if defined(__x86_64__)
// Asked of the CPU itself: clang 14's __builtin_cpu_supports does not know the name.
bool f16c_supported() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}
bool cpu_avx2_supported() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && f16c_supported();
}
bool cpu_avx512_supported() {
  return cpu_avx2_supported() && __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}
#elif defined(__aarch64__)
bool cpu_neon_supported() { return true; }
#endif

}  // namespace

std::span<const CpuTarget> CpuTargets() {
  static const std::array targets = {
#define POTLUCK_CPU_TARGET(target) \
  CpuTarget{#target, target##_supported(), &ProductKernels_##target, &FloatKernels_##target},
#include "kernels/targets.inc"
#undef POTLUCK_CPU_TARGET
  };
  return targets;
}

absl::StatusOr<const CpuTarget*> ChooseCpuTarget(std::string_view name) {
  const CpuTarget* chosen = nullptr;
  std::string usable;
  for (const CpuTarget& target : CpuTargets()) {
    if (!target.supported) continue;
    absl::StrAppend(&usable, usable.empty() ? "" : ", ", ToAbsl(target.name));
    if (name.empty() || target.name == name) chosen = &target;
  }
  if (chosen == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("no CPU target \"", ToAbsl(name), "\" on this machine; it can run ", usable));
  }
  return chosen;
}

}  // namespace potluck::kernels
