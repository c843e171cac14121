// What a model is to be loaded with: `potluck load`, POST /cluster/load.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/dtype.h"
#include "partition/plan.h"

namespace potluck::coordinator {

struct LoadRequest {
  std::string model;           // a path, or a name in the models folder
  int64_t context_length = 0;  // 0: the model's own up to 8192, or what fits
  int64_t parallel = 4;        // sequences at once
  kernels::DType kv_dtype = kernels::DType::kF16;
  bool spread = false;
  std::string layers;  // "desk=0-11,pi4=12-21"
  int copies = 2;
  std::vector<std::string> aliases;  // other names that people may ask for it by
};

// {"model", "ctx", "parallel", "kv_type", "spread", "layers", "copies", "alias"}: InvalidArgument,
// naming the field and what it may be.
absl::StatusOr<LoadRequest> ParseLoadRequest(std::string_view body);
std::string ToJson(const LoadRequest& request);

}  // namespace potluck::coordinator
