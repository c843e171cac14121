// Flags from a file: --config FILE.toml, with the flags' names as its keys. Flags on the command
// line win.
#pragma once

#include <CLI/CLI.hpp>

#include "absl/status/status.h"

namespace potluck::cli {

// --config and --print-config.
void AddConfigFlags(CLI::App& command);

// After parsing: gives the options that the command line left out what the file says. Errors name
// the file and the key. Where --print-config asks for it, prints the result as such a file;
// `printed` is true then.
absl::Status ApplyConfig(CLI::App& command, bool& printed);

}  // namespace potluck::cli
