// Which versions of the protocol understand each other (proto/README.md).
#pragma once

#include <string>

#include "absl/status/status.h"
#include "wire/messages.h"

namespace potluck::wire {

inline constexpr int32_t kProtocolMajor = 1;
inline constexpr int32_t kProtocolMinor = 5;
inline constexpr int32_t kMinorWithGrammars = 3;
inline constexpr int32_t kMinorWithHiddenRows = 4;  // in a step's result
inline constexpr int32_t kMinorWithMetrics = 5;     // of workers, over the control link

// What this program says of itself. `build`: for people, "0.1.0".
Version OurVersion(std::string build);

// FailedPrecondition where the majors differ, naming both versions and the side to update: the
// older one. `here` and `there`: who is who, for people ("this worker", "the coordinator").
absl::Status CheckVersion(const Version& ours, const Version& theirs, const std::string& here,
                          const std::string& there);

}  // namespace potluck::wire
