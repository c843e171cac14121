// Where a process keeps what outlives it: its keys, and what it has to know again. One process at a
// time has a folder; another of the same role takes one with a number, so that several run on one
// machine.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace potluck {

// Thread-compatible. The folder is this process's while the object lives, and free again when the
// process ends, however it ends.
class StateFolder {
 public:
  static constexpr int kMostProcesses = 64;  // of one role
  static constexpr size_t kMostSecretBytes = size_t{64} << 10;

  // Locks BASE/ROLE; where another process has that one, BASE/ROLE-2, and so on. What is not there
  // is made, with mode 0700. Errors name the folder and say what to do: PermissionDenied where it
  // cannot be written, or others could write into it; ResourceExhausted where all are taken.
  static absl::StatusOr<StateFolder> Lock(const std::string& base, const std::string& role);

  StateFolder(StateFolder&& other) noexcept;
  StateFolder& operator=(StateFolder&& other) noexcept;
  ~StateFolder();

  const std::string& path() const { return path_; }

  // A key or the like. NotFound where there is none; PermissionDenied where others may read it.
  absl::StatusOr<std::string> ReadSecret(std::string_view name) const;
  // With mode 0600; the old or the new bytes, never a part.
  absl::Status WriteSecret(std::string_view name, std::string_view bytes) const;

 private:
  StateFolder(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}
  std::string PathOf(std::string_view name) const;

  std::string path_;
  int lock_;  // the descriptor that holds the flock; -1: moved from
};

}  // namespace potluck
