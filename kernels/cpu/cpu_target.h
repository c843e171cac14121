// The instruction sets that this build can use, and the choice among them. Each target is a set of
// function pointers, filled by files that are compiled for that instruction set alone.
#pragma once

#include <span>
#include <string_view>

#include "absl/status/statusor.h"

namespace potluck::kernels {

struct ProductKernels;  // kernels/cpu/product_kernels.h
struct FloatKernels;    // kernels/cpu/float_kernels.h

struct CpuTarget {
  std::string_view name;
  bool supported = false;  // by the CPU that this process runs on
  const ProductKernels* products = nullptr;
  const FloatKernels* floats = nullptr;
};

// All targets of targets.inc, slowest first. The first runs anywhere.
std::span<const CpuTarget> CpuTargets();

// The target of that name, or the fastest supported one for an empty name. InvalidArgument, listing
// those that there are, for an unknown name or one that this CPU cannot run.
absl::StatusOr<const CpuTarget*> ChooseCpuTarget(std::string_view name);

}  // namespace potluck::kernels
