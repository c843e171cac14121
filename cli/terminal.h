// The person at the other end: interrupts, progress, time.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/civil_time.h"
#include "common/clock.h"

namespace potluck::cli {

// From here on Ctrl-C and SIGTERM set Interrupted() instead of ending the process; a second Ctrl-C
// ends it.
void CatchInterrupts();
bool Interrupted();
// Forgets an interrupt that was dealt with.
void ClearInterrupt();
// Readable from an interrupt until ClearInterrupt; -1 before CatchInterrupts.
int InterruptDescriptor();
// True as soon as there is an interrupt, false when `timeout` has passed without one.
bool WaitForInterrupt(absl::Duration timeout);

bool IsTerminal(int descriptor);

// All of standard input. Tells a person at a terminal that `what` is waited for. Cancelled by an
// interrupt, ResourceExhausted beyond 64 MiB.
absl::StatusOr<std::string> ReadStandardInput(std::string_view what);

// The exact bytes of a text file, at most 1 GiB; of a pipe or a device as much as of standard
// input, and with the same errors.
absl::StatusOr<std::string> ReadTextFile(const std::string& path);

// Standard input by lines, as a person writes them.
class LineReader {
 public:
  // Without its end of line; nothing at the end of input and at an interrupt. A last line that
  // nothing ends counts.
  std::optional<std::string> Next();

 private:
  std::string waiting_;  // read, but after the line that was given out
};

// InvalidArgument, naming `what`, where it is no UTF-8.
absl::Status CheckUtf8(std::string_view text, std::string_view what);

// A line that is drawn over itself on standard error; nothing where that is no terminal.
class ProgressLine {
 public:
  explicit ProgressLine(std::string label) : label_(std::move(label)) {}
  ~ProgressLine();
  void Show(double fraction, std::string_view detail = "");

 private:
  std::string label_;
  int last_percent_ = -1;
  bool drawn_ = false;
};

const Clock& SteadyClock();
// The local time of the person at this machine.
absl::CivilSecond LocalTime();

// Wrong usage that shows only after parsing: exit code 2.
absl::Status UsageError(std::string_view message);
bool IsUsageError(const absl::Status& status);

}  // namespace potluck::cli
