// Amounts of memory and disk as people write them.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace potluck::cli {

// "20GiB", "500 MiB", "1048576". InvalidArgument for what is none.
absl::StatusOr<int64_t> ParseByteSize(const std::string& text);

}  // namespace potluck::cli
