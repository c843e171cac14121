#include "cli/process.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <new>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace potluck::cli {
namespace {

// The soft limit is often 1024, for the sake of select(), which nothing here uses. Where a listener
// of gRPC's finds no descriptor once, it never listens again.
constexpr rlim_t kWantedDescriptors = 65'536;

// Nothing here may allocate.
[[noreturn]] void OnOutOfMemory() {
  constexpr char kMessage[] =
      "potluck: not enough memory: free some, or choose a smaller model or context (--ctx)\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kMessage, sizeof(kMessage) - 1);
  _exit(1);
}

// Touching mapped bytes that the file has not got any more, or that its disk cannot read.
extern "C" void OnLostBytes(int /*signal*/) {
  constexpr char kMessage[] =
      "potluck: a file in use was cut off, or its disk cannot read it any more: look after it, and "
      "start again\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kMessage, sizeof(kMessage) - 1);
  _exit(1);
}

}  // namespace

void PrepareProcess() {
  std::set_new_handler(OnOutOfMemory);
  std::signal(SIGBUS, OnLostBytes);
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    // Output that is closed must go on failing: such a /dev/null can only be read. The lowest free
    // descriptor is taken, which is this one.
    if (fcntl(descriptor, F_GETFD) < 0 && open("/dev/null", O_RDONLY) != descriptor) _exit(1);
  }
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < kWantedDescriptors) {
    limit.rlim_cur = std::min(limit.rlim_max, kWantedDescriptors);
    setrlimit(RLIMIT_NOFILE, &limit);
  }
}

int64_t MostDescriptors() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  return static_cast<int64_t>(std::min<rlim_t>(limit.rlim_cur, kWantedDescriptors));
}

absl::Status FlushOutput() {
  errno = 0;
  std::cout.flush();
  const bool failed = std::fflush(stdout) != 0;
  const int error = errno;
  if (!failed && std::ferror(stdout) == 0 && std::cout.good()) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("cannot write to standard output", error != 0 ? ": " : "",
                                          error != 0 ? std::strerror(error) : ""));
}

std::string UsageMessage(const CLI::App* app, const CLI::Error& error) {
  const CLI::App* asked = app;
  while (!asked->get_subcommands().empty()) asked = asked->get_subcommands().front();
  std::string message = error.what();
  if (asked == app) {
    const std::vector<std::string> words = app->remaining();
    if (!words.empty()) message = absl::StrCat("there is no command \"", words.front(), "\"");
    std::vector<std::string> names;
    for (const CLI::App* command : app->get_subcommands([](const CLI::App*) { return true; }))
      names.push_back(command->get_name());
    message = absl::StrCat(message, "; the commands are ", absl::StrJoin(names, ", "));
  }
  std::string path;
  for (const CLI::App* part = asked; part != nullptr; part = part->get_parent()) {
    path = absl::StrCat(part->get_name(), " ", path);
  }
  return absl::StrCat("potluck: ", message, " (see `", path, "--help`)\n");
}

}  // namespace potluck::cli
