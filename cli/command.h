// The subcommands of `potluck`. Each Add... describes its flags and, when it was asked for, sets
// what the program does. Commands parse, call and print; the work is done in the libraries.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <vector>

#include "absl/status/status.h"

namespace potluck::cli {

// What main() runs once the command line is understood. An error is printed as one line, exit
// code 1.
using Command = std::function<absl::Status()>;

void AddRunCommand(CLI::App& app, Command& command);
void AddInspectCommand(CLI::App& app, Command& command);
void AddTokenizeCommand(CLI::App& app, Command& command);
void AddPerplexityCommand(CLI::App& app, Command& command);
void AddBenchCommand(CLI::App& app, Command& command);
void AddDevicesCommand(CLI::App& app, Command& command);
void AddDoctorCommand(CLI::App& app, Command& command);
void AddCacheCommand(CLI::App& app, Command& command);
void AddUpCommand(CLI::App& app, Command& command);
void AddJoinCommand(CLI::App& app, Command& command);
void AddStatusCommand(CLI::App& app, Command& command);
void AddLoadCommand(CLI::App& app, Command& command);
void AddUnloadCommand(CLI::App& app, Command& command);
void AddDrainCommand(CLI::App& app, Command& command);
void AddPauseCommand(CLI::App& app, Command& command);
void AddResumeCommand(CLI::App& app, Command& command);
void AddJoinCodeCommand(CLI::App& app, Command& command);
void AddPlanCommand(CLI::App& app, Command& command);

}  // namespace potluck::cli
