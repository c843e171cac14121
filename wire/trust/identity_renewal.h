// Keeps a process's certificate from running out: renews it while the process runs, long before its
// end, and tries again where that fails. Links that stand are left alone: TLS looks at certificates
// when a connection begins.
#pragma once

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/executor.h"
#include "wire/trust/tls_identity.h"

namespace potluck::wire {

// Single-threaded: lives on its executor.
class IdentityRenewal {
 public:
  struct Options {
    TlsIdentity identity;
    std::function<absl::Time()> now;  // of the wall clock, which certificates go by
    // Gets a new certificate for that identity; may block.
    std::function<absl::StatusOr<TlsIdentity>(const TlsIdentity&)> renew;
    // With every new identity, for all that begins from now on.
    std::function<void(const TlsIdentity&)> renewed;
  };
  // The wall clock may be set, and a machine may sleep: it is looked at so often.
  static constexpr absl::Duration kLook = absl::Hours(1);
  // After a failure, twice as long each time.
  static constexpr absl::Duration kShortestWait = absl::Minutes(1), kLongestWait = kLook;

  // `files` runs what blocks. Both must outlive the object.
  IdentityRenewal(Options options, Executor& executor, Executor& files);

 private:
  void Look();
  void OnAnswer(absl::StatusOr<TlsIdentity> answer);

  const Options options_;
  TlsIdentity identity_;
  Executor& executor_;
  Executor& files_;
  Timer timer_;
  absl::Duration wait_ = kShortestWait;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace potluck::wire
