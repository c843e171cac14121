// A cluster's certificate authority: its key stays in the coordinator's state folder, and whom it
// has signed belongs to the cluster.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "wire/trust/tls_identity.h"

namespace potluck::wire {

struct MemberCertificate {
  WorkerId id;        // of the request's key: keys.h
  std::string chain;  // PEM: the member's certificate, then the authority's
};

// Thread-safe: it does not change.
class ClusterAuthority {
 public:
  // A worker that has not been seen for so long has to join again.
  static constexpr absl::Duration kMemberLife = absl::Hours(24 * 365);

  // Reads FOLDER/authority.pem, or makes a new authority and writes that file, with mode 0600. A
  // file that is there and is no authority is an error and stays as it is.
  static absl::StatusOr<ClusterAuthority> OpenOrCreate(const std::string& folder, absl::Time now);

  ClusterAuthority(ClusterAuthority&&);
  ~ClusterAuthority();

  const std::string& certificate() const { return certificate_; }  // PEM
  const std::string& key_name() const { return key_name_; }        // as in join codes

  // With a key of its own each time: it need not be kept.
  absl::StatusOr<TlsIdentity> MakeCoordinatorIdentity(absl::Time now) const;
  // For a worker in the coordinator's own process.
  absl::StatusOr<TlsIdentity> MakeWorkerIdentity(const std::string& private_key,
                                                 absl::Time now) const;
  // To who has proved to be welcome. `request`: PKCS #10, DER; InvalidArgument if it isn't one.
  absl::StatusOr<MemberCertificate> Issue(const std::string& request, absl::Time now) const;

 private:
  struct Keys;
  explicit ClusterAuthority(std::unique_ptr<const Keys> keys);

  std::unique_ptr<const Keys> keys_;
  std::string certificate_, key_name_;
};

}  // namespace potluck::wire
