// Manifests that were fetched, kept on disk by their address, so that a worker which starts anew
// needs no peer to know what it has.
#pragma once

#include <string>
#include <unordered_set>
#include <utility>

#include "absl/status/statusor.h"
#include "common/sha256.h"

namespace potluck::worker {

// Thread-safe, and safe beside other processes.
class KeptManifests {
 public:
  // `folder` is made when the first one is kept; empty: none is kept.
  explicit KeptManifests(std::string folder) : folder_(std::move(folder)) {}

  // NotFound where it is not there, or damaged.
  absl::StatusOr<std::string> Read(const Sha256Digest& address) const;
  // One that cannot be written is fetched again, nothing else.
  void Keep(const Sha256Digest& address, const std::string& bytes) const;
  // Removes those of models of which none of these blobs is a part. How many they were.
  int RemoveAllWithout(const std::unordered_set<Sha256Digest>& blobs) const;

 private:
  std::string PathOf(const Sha256Digest& address) const;

  const std::string folder_;
};

}  // namespace potluck::worker
