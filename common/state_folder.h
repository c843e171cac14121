// Where a process keeps what outlives it: its keys, and what it has to know again. One process at a
// time has a folder; another of the same role takes one with a number, so that several run on one
// machine.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace potluck {

// Thread-compatible. The folder is this process's while the object lives, and free again when the
// process ends, however it ends.
class StateFolder {
 public:
  static constexpr int kMostProcesses = 64;  // of one role

  // Locks BASE/ROLE; where another process has that one, BASE/ROLE-2, and so on. What is not there
  // is made, with mode 0700, and its files get 0600, as a copy of it may not have: nobody else gets
  // at the keys in it. Errors name the folder and say
  // what to do: PermissionDenied where it cannot be written, is another user's, or others may look
  // into it; ResourceExhausted where all are taken.
  static absl::StatusOr<StateFolder> Lock(const std::string& base, const std::string& role);

  struct Holder {
    std::string path;
    pid_t process;
  };
  // Which other processes have folders of that role now, or BASE itself: as the kernel knows it, so
  // that one which has ended is never named. Empty where BASE cannot be read. Not for a process
  // that has such a folder itself: asking would make others believe that it has none.
  static std::vector<Holder> Holders(const std::string& base, const std::string& role);

  StateFolder(StateFolder&& other) noexcept;
  StateFolder& operator=(StateFolder&& other) noexcept;
  ~StateFolder();

  const std::string& path() const { return path_; }

 private:
  StateFolder(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}

  std::string path_;
  int lock_;  // the descriptor that holds the flock; -1: moved from
};

}  // namespace potluck
