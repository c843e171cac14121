// potluck: the one program. `potluck --help` lists its commands.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "cli/command.h"
#include "cli/terminal.h"

namespace {

constexpr int kSuccess = 0, kFailure = 1, kUsage = 2;

}  // namespace

int main(int argc, char** argv) {
  using potluck::cli::Command;
  CLI::App app("Potluck runs large language models on the devices that a home already has.",
               "potluck");
  app.set_version_flag("--version", POTLUCK_VERSION);
  app.require_subcommand(1);
  app.footer("Exit codes: 0 fine, 1 failed, 2 wrong usage. `potluck COMMAND --help` has examples.");
  Command command;
  potluck::cli::AddRunCommand(app, command);
  potluck::cli::AddInspectCommand(app, command);
  potluck::cli::AddTokenizeCommand(app, command);
  potluck::cli::AddPerplexityCommand(app, command);
  potluck::cli::AddBenchCommand(app, command);
  potluck::cli::AddDevicesCommand(app, command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kSuccess : kUsage;
  }
  potluck::cli::CatchInterrupts();
  const absl::Status status = command();
  if (std::fflush(stdout) != 0 && status.ok()) {
    std::fprintf(stderr, "potluck: cannot write to standard output\n");
    return kFailure;
  }
  if (status.ok()) return kSuccess;
  std::fprintf(stderr, "potluck: %s\n", std::string(status.message()).c_str());
  return absl::IsInvalidArgument(status) && potluck::cli::IsUsageError(status) ? kUsage : kFailure;
}
