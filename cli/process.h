// The process as a whole: what holds from its start to its end, whichever command runs.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace potluck::cli {

// Call first. Standard descriptors that the caller closed are opened on nothing, so that no model
// file can take their place; running out of memory becomes one line and exit code 1,
// and so does a file that is cut off while it is mapped. As many descriptors may be open as the
// system lets this process have, up to 65,536.
void PrepareProcess();

int64_t MostDescriptors();

// DataLoss if anything that was written to standard output could not be: a full disk, a closed
// descriptor.
absl::Status FlushOutput();

// What a wrong command line gets to read: what is wrong, and where help is.
std::string UsageMessage(const CLI::App* app, const CLI::Error& error);

}  // namespace potluck::cli
