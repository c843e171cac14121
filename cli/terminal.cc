#include "cli/terminal.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/text.h"

namespace potluck::cli {
namespace {

constexpr size_t kMaxInputBytes = size_t{64} << 20;
constexpr char kUsagePayload[] = "potluck/usage";

volatile std::sig_atomic_t interrupted = 0;

extern "C" void OnInterrupt(int signal_number) {
  // The second one ends the process as if nobody had asked to know.
  if (interrupted != 0) std::signal(signal_number, SIG_DFL);
  interrupted = 1;
}

class MonotonicClock final : public Clock {
 public:
  absl::Duration SinceStart() const override {
    return absl::FromChrono(std::chrono::steady_clock::now() - start_);
  }

 private:
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace

void CatchInterrupts() {
  // Without SA_RESTART: a read from the terminal ends too.
  struct sigaction action = {};
  action.sa_handler = OnInterrupt;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool Interrupted() { return interrupted != 0; }

void ClearInterrupt() {
  interrupted = 0;
  CatchInterrupts();
}

bool IsTerminal(int descriptor) { return isatty(descriptor) == 1; }

absl::StatusOr<std::string> ReadStandardInput(std::string_view what) {
  if (IsTerminal(STDIN_FILENO)) {
    std::fprintf(stderr, "type %.*s, then Enter and Ctrl-D\n", static_cast<int>(what.size()),
                 what.data());
  }
  std::string text;
  char buffer[1 << 16];
  while (true) {
    const ssize_t count = read(STDIN_FILENO, buffer, sizeof(buffer));
    if (Interrupted()) return absl::CancelledError("stopped while reading standard input");
    if (count < 0) {
      return absl::Status(absl::ErrnoToStatusCode(errno),
                          absl::StrCat("cannot read standard input: ", std::strerror(errno)));
    }
    if (count == 0) return text;
    text.append(buffer, static_cast<size_t>(count));
    if (text.size() > kMaxInputBytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat(ToAbsl(what), " on standard input is longer than 64 MiB: shorten it"));
    }
  }
}

ProgressLine::~ProgressLine() {
  if (drawn_) std::fprintf(stderr, "\r\033[K");
}

void ProgressLine::Show(double fraction, std::string_view detail) {
  const int percent = static_cast<int>(100 * std::clamp(fraction, 0.0, 1.0));
  if (!IsTerminal(STDERR_FILENO) || percent == last_percent_) return;
  last_percent_ = percent;
  drawn_ = true;
  constexpr int kBarWidth = 30;
  const std::string bar(static_cast<size_t>(percent * kBarWidth / 100), '=');
  std::fprintf(stderr, "\r\033[K%s [%-*s] %3d%% %.*s", label_.c_str(), kBarWidth, bar.c_str(),
               percent, static_cast<int>(detail.size()), detail.data());
  std::fflush(stderr);
}

const Clock& SteadyClock() {
  static const MonotonicClock clock;
  return clock;
}

absl::CivilSecond LocalTime() { return absl::ToCivilSecond(absl::Now(), absl::LocalTimeZone()); }

absl::Status UsageError(std::string_view message) {
  absl::Status status = absl::InvalidArgumentError(ToAbsl(message));
  status.SetPayload(kUsagePayload, absl::Cord());
  return status;
}

bool IsUsageError(const absl::Status& status) {
  return status.GetPayload(kUsagePayload).has_value();
}

}  // namespace potluck::cli
