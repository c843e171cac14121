// potluck join: makes this machine a worker of a cluster.
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "cli/command.h"
#include "cli/environment.h"
#include "cli/network.h"
#include "cli/owner_signals.h"
#include "cli/terminal.h"
#include "cli/worker_options.h"
#include "cli/worker_process.h"
#include "common/host_port.h"
#include "common/log.h"
#include "common/state_folder.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "wire/grpc/join_client.h"
#include "wire/trust/join_code.h"
#include "wire/trust/keys.h"
#include "wire/trust/stored_identity.h"

namespace potluck::cli {
namespace {

constexpr absl::Duration kLookAgain = absl::Seconds(2);

struct JoinCommandOptions {
  std::string line, file, listen, metrics;
  WorkerFlags worker;
};

// HOST:PORT/CODE as an argument, from a file, standard input or the environment: a code on the
// command line is seen by everybody on this machine.
absl::StatusOr<std::string> ReadLine(const JoinCommandOptions& options) {
  if (!options.file.empty()) return ReadTextFile(options.file);
  if (options.line == "-") return ReadStandardInput("the join line");
  if (!options.line.empty()) return options.line;
  const std::string line = EnvironmentOr("POTLUCK_JOIN", "");
  if (line.empty()) return UsageError("where to? Give HOST:PORT/CODE, as `potluck up` prints it");
  return line;
}

// The coordinator's address, and who this worker is there.
struct Membership {
  std::string coordinator;
  wire::TlsIdentity identity;
};

// An identity of an earlier time goes on being good for the same cluster, whatever its codes are
// today: it is renewed while the worker runs, unless its end has come before.
bool IsGood(const wire::TlsIdentity& identity) {
  const auto life = wire::LifeOf(identity);
  return life.ok() && absl::Now() < life->end;
}

// Who else of this machine has the folder that we would have; "" where nobody has.
std::string OtherHolder(const std::vector<StateFolder::Holder>& others) {
  if (others.empty()) return "";
  return absl::StrCat("process ", others.front().process, " has ", others.front().path,
                      ", so this is ");
}

// `other`: OtherHolder.
absl::StatusOr<Membership> Join(const std::string& text, const StateFolder& state,
                                const std::string& other, const std::string& name) {
  absl::StatusOr<wire::TlsIdentity> known = wire::ReadIdentity(state.path());
  if (!known.ok() && !absl::IsNotFound(known.status())) return known.status();
  if (!absl::StrContains(text, '/')) {
    const std::string address(absl::StripAsciiWhitespace(text));
    POTLUCK_RETURN_IF_ERROR(ParseHostPort(address).status());
    if (!known.ok()) {
      return UsageError(absl::StrCat(
          other, other.empty() ? "this machine" : "a further worker of this machine, which",
          " has not joined yet: give HOST:PORT/CODE, as `potluck up` prints it",
          other.empty() ? "" : ", or wait until that process has ended"));
    }
    if (!IsGood(*known)) {
      return UsageError(
          "this machine's certificate has run out: give HOST:PORT/CODE, as `potluck up` prints it");
    }
    return Membership{address, *std::move(known)};
  }
  POTLUCK_ASSIGN_OR_RETURN(const wire::JoinLine line, wire::ParseJoinLine(text));
  if (known.ok()) {
    const auto authority = wire::NameOfCertificateKey(known->authority);
    if (authority.ok() && *authority == line.code.authority && IsGood(*known))
      return Membership{line.address, *std::move(known)};
  }
  POTLUCK_ASSIGN_OR_RETURN(wire::TlsIdentity identity,
                           wire::JoinCluster({.line = line,
                                              .private_key = known.ok() ? known->private_key : "",
                                              .name = name,
                                              .build = POTLUCK_VERSION}));
  POTLUCK_RETURN_IF_ERROR(wire::WriteIdentity(state.path(), identity));
  return Membership{line.address, std::move(identity)};
}

// Where other workers may dial this one: on the interface that leads to the coordinator. A machine
// that starts may be up before its network or its names are.
absl::StatusOr<std::string> ListenAddress(const std::string& asked,
                                          const std::string& coordinator) {
  if (!asked.empty()) return asked;
  POTLUCK_ASSIGN_OR_RETURN(const HostPort to, ParseHostPort(coordinator));
  for (bool told = false;; told = true) {
    const absl::StatusOr<std::string> host = AddressTowards(to.host);
    if (host.ok()) return JoinHostPort(*host, 0);
    if (!told) {
      Log(LogLevel::kWarning, "cannot reach the coordinator",
          {{"coordinator", coordinator}, {"status", host.status()}});
    }
    if (WaitForInterrupt(kLookAgain)) return absl::CancelledError("stopped");
  }
}

worker::WorkerEvents EventsTold(const Membership& membership, bool in_words) {
  worker::WorkerEvents events;
  events.joined = [id = membership.identity.id, coordinator = membership.coordinator,
                   in_words](const wire::Welcome& welcome) {
    if (in_words) {
      absl::FPrintF(stderr, "joined the cluster %s at %s; Ctrl-C leaves it\n",
                    Printable(welcome.cluster), coordinator);
      return;
    }
    Log(LogLevel::kInfo, "joined the cluster",
        {{"worker", id}, {"cluster", welcome.cluster}, {"coordinator", coordinator}});
  };
  events.lost = [id = membership.identity.id, coordinator = membership.coordinator, in_words](
                    const absl::Status& why, bool was_joined) {
    const char* event = was_joined ? "lost the coordinator" : "cannot reach the coordinator";
    if (in_words) {
      absl::FPrintF(stderr, "%s: %s; trying again\n", event, why.message());
      return;
    }
    Log(LogLevel::kWarning, event, {{"worker", id}, {"coordinator", coordinator}, {"status", why}});
  };
  return events;
}

absl::Status RunWorker(const JoinCommandOptions& options) {
  OwnerSignals owner;
  POTLUCK_RETURN_IF_ERROR(StartLog(options.worker));
  POTLUCK_ASSIGN_OR_RETURN(WorkerProcessOptions with, WorkerOptionsOf(options.worker));
  if (with.name.empty()) with.name = HostName();
  POTLUCK_ASSIGN_OR_RETURN(const std::string line, ReadLine(options));
  const std::string base = StateBase(options.worker);
  const std::string other = OtherHolder(StateFolder::Holders(base, "worker"));
  POTLUCK_ASSIGN_OR_RETURN(const StateFolder state, StateFolder::Lock(base, "worker"));
  POTLUCK_ASSIGN_OR_RETURN(const Membership membership, Join(line, state, other, with.name));
  with.state_folder = state.path();
  with.coordinator = {membership.coordinator};
  with.keep_identity = [folder = state.path()](const wire::TlsIdentity& identity) {
    return wire::WriteIdentity(folder, identity);
  };
  POTLUCK_ASSIGN_OR_RETURN(with.listen, ListenAddress(options.listen, membership.coordinator));
  with.metrics = options.metrics;
  with.sys_folder = EnvironmentOr("POTLUCK_SYS_CLASS", "/sys/class");

  absl::Notification left;
  const bool in_words = TellsInWords(options.worker);
  worker::WorkerEvents events = EventsTold(membership, in_words);
  events.left = [&] { left.Notify(); };
  POTLUCK_ASSIGN_OR_RETURN(const std::unique_ptr<WorkerProcess> worker,
                           WorkerProcess::Start(with, membership.identity, std::move(events)));
  owner.WaitForInterrupt([&](bool paused) { worker->Pause(paused); });
  if (in_words) {
    absl::FPrintF(stderr, "leaving; my layers move first (Ctrl-C again: at once)\n");
  } else {
    Log(LogLevel::kInfo, "leaving", {{"worker", membership.identity.id}});
  }
  do {
    ClearInterrupt();
    worker->Leave();
    while (!left.HasBeenNotified() && !WaitForInterrupt(absl::Milliseconds(100))) continue;
  } while (!left.HasBeenNotified());
  return absl::OkStatus();
}

}  // namespace

void AddJoinCommand(CLI::App& app, Command& command) {
  auto options = std::make_shared<JoinCommandOptions>();
  CLI::App* join = app.add_subcommand("join", "Make this machine a worker of a cluster");
  join->add_option("LINE", options->line,
                   "HOST:PORT/CODE as `potluck up` prints it; - reads it from standard input; "
                   "HOST:PORT is enough once this machine has joined");
  join->add_option("--join-file", options->file, "Read the line from this file");
  join->add_option("--listen", options->listen,
                   "HOST:PORT for other workers (default: the interface that leads to the "
                   "coordinator, port 7080 or the next free one)")
      ->check(AddressTrouble);
  join->add_option("--metrics", options->metrics,
                   "HOST:PORT where Prometheus may read this worker's /metrics, without a key "
                   "(default: nowhere)")
      ->check(AddressTrouble);
  AddWorkerFlags(*join, options->worker);
  join->footer(
      "Examples:\n"
      "  potluck join nas:7071/pl1.5c1f...\n"
      "  potluck join --join-file /etc/potluck/join --name attic --memory 4GiB");
  join->callback([options, &command] { command = [options] { return RunWorker(*options); }; });
}

}  // namespace potluck::cli
