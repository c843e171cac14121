// Flags from a file: --config FILE.toml, with the flags' names as its keys. Flags on the command
// line win.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "absl/status/status.h"

namespace potluck::cli {

// Gives the options that have no value yet what a text in TOML says. `path` is for errors, which
// name the key. UsageError for keys and values that the command does not take.
absl::Status ApplyConfigText(CLI::App& command, const std::string& path, const std::string& text);

// All options that have a value, as such a text.
std::string ConfigText(const CLI::App& command);

// --config and --print-config.
void AddConfigFlags(CLI::App& command);

// After parsing: gives the options that the command line left out what the file says. Errors name
// the file and the key. Where --print-config asks for it, prints the result as such a file;
// `printed` is true then.
absl::Status ApplyConfig(CLI::App& command, bool& printed);

}  // namespace potluck::cli
