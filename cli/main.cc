// potluck: the one program. `potluck --help` lists its commands.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "absl/strings/str_replace.h"
#include "cli/command.h"
#include "cli/config_file.h"
#include "cli/process.h"
#include "cli/terminal.h"

namespace {

constexpr int kSuccess = 0, kFailure = 1, kUsage = 2;

}  // namespace

int main(int argc, char** argv) {
  using potluck::cli::Command;
  potluck::cli::PrepareProcess();
  CLI::App app("Potluck runs large language models on the devices that a home already has.",
               "potluck");
  app.set_version_flag("--version", POTLUCK_VERSION);
  app.require_subcommand(1);
  app.footer("Exit codes: 0 fine, 1 failed, 2 wrong usage. `potluck COMMAND --help` has examples.");
  Command command;
  potluck::cli::AddUpCommand(app, command);
  potluck::cli::AddJoinCommand(app, command);
  potluck::cli::AddRunCommand(app, command);
  potluck::cli::AddInspectCommand(app, command);
  potluck::cli::AddTokenizeCommand(app, command);
  potluck::cli::AddPerplexityCommand(app, command);
  potluck::cli::AddBenchCommand(app, command);
  potluck::cli::AddDevicesCommand(app, command);
  potluck::cli::AddDoctorCommand(app, command);
  potluck::cli::AddCacheCommand(app, command);
  potluck::cli::AddStatusCommand(app, command);
  potluck::cli::AddLoadCommand(app, command);
  potluck::cli::AddUnloadCommand(app, command);
  potluck::cli::AddDrainCommand(app, command);
  potluck::cli::AddPauseCommand(app, command);
  potluck::cli::AddResumeCommand(app, command);
  potluck::cli::AddJoinCodeCommand(app, command);
  potluck::cli::AddPlanCommand(app, command);
  for (CLI::App* added : app.get_subcommands({})) potluck::cli::AddConfigFlags(*added);
  app.failure_message(potluck::cli::UsageMessage);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (app.exit(error) != 0) return kUsage;
    command = [] { return absl::OkStatus(); };  // --help or --version, which are printed by now
  }
  potluck::cli::CatchInterrupts();
  absl::Status status;
  bool printed = false;
  for (CLI::App* asked : app.get_subcommands())
    status.Update(potluck::cli::ApplyConfig(*asked, printed));
  if (status.ok() && !printed) status = command();
  if (status.ok()) status = potluck::cli::FlushOutput();
  if (status.ok()) return kSuccess;
  std::fprintf(stderr, "potluck: %s\n",
               absl::StrReplaceAll(status.message(), {{"\n", " "}}).c_str());
  return potluck::cli::IsUsageError(status) ? kUsage : kFailure;
}
