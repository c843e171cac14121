// The join codes of a cluster: the present one, and those that once were, so that a machine that
// comes with one of them hears that it is old and not that it is wrong.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "wire/trust/join_code.h"

namespace potluck::wire {

// Single-threaded. Kept in FOLDER/join_codes, mode 0600: a line "SECRET EXPIRES" each, the time in
// seconds since 1970, the newest last.
class JoinCodes {
 public:
  static constexpr absl::Duration kLife = absl::Hours(24 * 30);

  // `authority`: ClusterAuthority::key_name. A file that is there and is none is an error.
  static absl::StatusOr<JoinCodes> OpenOrCreate(const std::string& folder,
                                                const std::string& authority, absl::Time now);

  // Good for at least half of kLife: it is another one after a while, when the one before still
  // admits until its own end.
  absl::StatusOr<JoinCode> Current(absl::Time now);
  // From now on all former codes are old.
  absl::StatusOr<JoinCode> Replace(absl::Time now);

  // PermissionDenied says whether the code was wrong or is old.
  absl::Status Check(std::string_view request, std::string_view proof, absl::Time now) const;

 private:
  struct Known {
    std::string secret;
    absl::Time expires;
  };
  static constexpr size_t kMostKnown = 16;

  JoinCodes(std::string path, std::string authority)
      : path_(std::move(path)), authority_(std::move(authority)) {}
  absl::Status Parse(std::string_view text);
  // Keeps `known` with a new code after it.
  absl::StatusOr<JoinCode> Add(std::vector<Known> known, absl::Time now);

  std::string path_, authority_;
  std::vector<Known> known_;
};

}  // namespace potluck::wire
