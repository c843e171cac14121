#include "cli/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/files.h"
#include "common/text.h"
#include "common/thread_executor.h"

namespace potluck::cli {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{1} << 30;
constexpr size_t kMaxInputBytes = size_t{64} << 20;
constexpr char kUsagePayload[] = "potluck/usage";

volatile std::sig_atomic_t interrupted = 0;
// Readable while interrupted: a wait for input that watches this, too, misses no signal, whenever
// it comes and whichever thread takes it.
std::array<int, 2> interrupt_pipe = {-1, -1};

extern "C" void OnInterrupt(int signal_number) {
  // The second one ends the process as if nobody had asked to know.
  if (interrupted != 0) {
    std::signal(signal_number, SIG_DFL);
    std::raise(signal_number);
  }
  interrupted = 1;
  const int saved_errno = errno;
  // A full pipe is readable already, which is all that is wanted.
  [[maybe_unused]] const ssize_t written = write(interrupt_pipe[1], "", 1);
  errno = saved_errno;
}

// False where an interrupt came first.
bool WaitForInput(int descriptor) {
  std::array<pollfd, 2> ends = {pollfd{.fd = descriptor, .events = POLLIN, .revents = 0},
                                pollfd{.fd = interrupt_pipe[0], .events = POLLIN, .revents = 0}};
  while (!Interrupted()) {
    if (poll(ends.data(), ends.size(), -1) >= 0) return !Interrupted();
    if (errno != EINTR) return true;  // the read says what is wrong
  }
  return false;
}

// `what` and `where`: "the prompt", "standard input".
absl::StatusOr<std::string> ReadToEnd(int descriptor, std::string_view what,
                                      std::string_view where) {
  std::string text;
  std::array<char, 1 << 16> buffer;
  while (true) {
    if (!WaitForInput(descriptor)) {
      return absl::CancelledError(absl::StrCat("stopped while reading ", ToAbsl(where)));
    }
    const ssize_t count = read(descriptor, buffer.data(), buffer.size());
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (count < 0) {
      return absl::Status(absl::ErrnoToStatusCode(errno),
                          absl::StrCat("cannot read ", ToAbsl(where), ": ", std::strerror(errno)));
    }
    if (count == 0) return text;
    text.append(buffer.data(), static_cast<size_t>(count));
    if (text.size() > kMaxInputBytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat(ToAbsl(what), " on ", ToAbsl(where), " is longer than 64 MiB: shorten it"));
    }
  }
}

}  // namespace

void CatchInterrupts() {
  if (interrupt_pipe[0] < 0 && pipe2(interrupt_pipe.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
    return;  // with no descriptor left, a signal ends the process as it would without this
  }
  struct sigaction action = {};
  action.sa_handler = OnInterrupt;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

int InterruptDescriptor() { return interrupt_pipe[0]; }

bool WaitForInterrupt(absl::Duration timeout) {
  const absl::Time end = absl::Now() + timeout;
  while (!Interrupted() && absl::Now() < end) {
    pollfd interrupt = {.fd = interrupt_pipe[0], .events = POLLIN, .revents = 0};
    poll(&interrupt, 1, static_cast<int>(absl::ToInt64Milliseconds(end - absl::Now()) + 1));
  }
  return Interrupted();
}

bool Interrupted() { return interrupted != 0; }

void ClearInterrupt() {
  interrupted = 0;
  std::array<char, 16> bytes;
  while (read(interrupt_pipe[0], bytes.data(), bytes.size()) > 0) {
  }
  CatchInterrupts();
}

bool IsTerminal(int descriptor) { return isatty(descriptor) == 1; }

absl::StatusOr<std::string> ReadStandardInput(std::string_view what) {
  if (IsTerminal(STDIN_FILENO)) {
    std::fprintf(stderr, "type %.*s, then Enter and Ctrl-D\n", static_cast<int>(what.size()),
                 what.data());
  }
  return ReadToEnd(STDIN_FILENO, what, "standard input");
}

absl::StatusOr<std::string> ReadTextFile(const std::string& path) {
  struct stat info;
  const bool is_stream =
      stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode);
  if (!is_stream) return ReadFile(path, kMaxFileBytes);
  // O_NONBLOCK: a named pipe waits for its other end where an interrupt is seen, too.
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) {
    return absl::Status(absl::ErrnoToStatusCode(errno),
                        absl::StrCat("cannot open ", path, ": ", std::strerror(errno)));
  }
  absl::Cleanup close_file = [&] { close(descriptor); };
  return ReadToEnd(descriptor, "the text", path);
}

std::optional<std::string> LineReader::Next() {
  std::array<char, 4096> buffer;
  while (true) {
    const size_t end = waiting_.find('\n');
    if (end != std::string::npos) {
      std::string line = waiting_.substr(0, end);
      waiting_.erase(0, end + 1);
      return line;
    }
    if (!WaitForInput(STDIN_FILENO)) return std::nullopt;
    const ssize_t count = read(STDIN_FILENO, buffer.data(), buffer.size());
    if (count <= 0) {
      if (waiting_.empty()) return std::nullopt;
      return std::exchange(waiting_, {});
    }
    waiting_.append(buffer.data(), static_cast<size_t>(count));
  }
}

absl::Status CheckUtf8(std::string_view text, std::string_view what) {
  for (size_t at = 0; at < text.size();) {
    const int length = DecodeUtf8(text.substr(at));
    if (length == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(ToAbsl(what), " is not UTF-8 at byte ", at, ": write it in UTF-8"));
    }
    at += static_cast<size_t>(length);
  }
  return absl::OkStatus();
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
  static const potluck::SteadyClock clock;
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
