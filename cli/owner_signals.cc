#include "cli/owner_signals.h"

#include <poll.h>
#include <pthread.h>
extern "C" {  // glibc 2.36 does not say so itself
#include <sys/pidfd.h>
}
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/terminal.h"
#include "common/state_folder.h"

namespace potluck::cli {
namespace {

using Holder = StateFolder::Holder;

int SignalOf(OwnerWish wish) {
  switch (wish) {
    case OwnerWish::kPause:
      return SIGUSR1;
    case OwnerWish::kResume:
      return SIGUSR2;
    case OwnerWish::kDrain:
      break;
  }
  return SIGTERM;
}

bool Has(const std::vector<Holder>& holders, const Holder& wanted) {
  return std::ranges::any_of(holders, [&](const Holder& holder) {
    return holder.path == wanted.path && holder.process == wanted.process;
  });
}

}  // namespace

absl::Status TellWorkerHere(OwnerWish wish, const std::string& state_folder) {
  const std::vector<Holder> workers = StateFolder::Holders(state_folder, "worker");
  if (workers.empty()) {
    return absl::NotFoundError(absl::StrCat(
        "no worker of this machine has its state in ", state_folder,
        ": say with --state-dir where, or name one of the cluster's as `potluck status` shows it"));
  }
  if (workers.size() > 1) {
    const auto path = [](std::string* out, const Holder& holder) { out->append(holder.path); };
    return absl::FailedPreconditionError(absl::StrCat(
        workers.size(),
        " workers run here: choose one with --state-dir: ", absl::StrJoin(workers, " or ", path)));
  }
  const Holder& worker = workers.front();
  std::error_code ignored;
  const std::string base = std::filesystem::canonical(worker.path, ignored).parent_path();
  const bool coordinates =
      std::ranges::any_of(StateFolder::Holders(base, "coordinator"),
                          [&](const Holder& holder) { return holder.process == worker.process; });
  if (wish == OwnerWish::kDrain && coordinates) {
    return absl::FailedPreconditionError(
        "the worker of this machine is in its coordinator's process, which would end with it: name "
        "it as `potluck status` shows it, or stop `potluck up`");
  }
  const int process = pidfd_open(worker.process, 0);
  const absl::Cleanup close_process = [process] {
    if (process >= 0) close(process);
  };
  // What has the folder still, now that it is held fast, is the process that was found.
  const bool there = process >= 0 && Has(StateFolder::Holders(state_folder, "worker"), worker);
  if (!there) return absl::NotFoundError("the worker of this machine has just ended");
  if (pidfd_send_signal(process, SignalOf(wish), nullptr, 0) == 0) return absl::OkStatus();
  return absl::Status(absl::ErrnoToStatusCode(errno),
                      absl::StrCat("cannot tell the worker of ", worker.path, " (process ",
                                   worker.process, "): ", std::strerror(errno)));
}

OwnerSignals::OwnerSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signals_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

OwnerSignals::~OwnerSignals() {
  if (signals_ >= 0) close(signals_);
}

void OwnerSignals::WaitForInterrupt(const std::function<void(bool paused)>& pause) {
  while (!Interrupted()) {
    std::array<pollfd, 2> ends = {
        pollfd{.fd = InterruptDescriptor(), .events = POLLIN, .revents = 0},
        pollfd{.fd = signals_, .events = POLLIN, .revents = 0}};
    poll(ends.data(), ends.size(), -1);
    signalfd_siginfo told;
    while (read(signals_, &told, sizeof(told)) == sizeof(told)) pause(told.ssi_signo == SIGUSR1);
  }
}

}  // namespace potluck::cli
