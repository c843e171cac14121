// Folders of the user's own: nobody else may read what lies in them.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace potluck::model {

// Makes the folder, and those above it that are missing, with mode 0700. One that is there stays as
// it is; FailedPrecondition where it is no folder, else what the system says.
absl::Status MakePrivateFolder(const std::string& path);

}  // namespace potluck::model
