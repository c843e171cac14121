// Takes the links that other members of the cluster dial, and, at the coordinator, lets machines
// join.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/thread_executor.h"
#include "wire/link.h"
#include "wire/traffic.h"
#include "wire/trust/join_desk.h"
#include "wire/trust/tls_identity.h"

namespace potluck::wire {

// Lives on its executor, which must outlive it; an executor has one at most.
class GrpcServer {
 public:
  struct Options {
    TlsIdentity identity;
    std::vector<std::string> addresses;  // "HOST:PORT"; port 0: any free one
    // The coordinator's; must outlive the server. Without it nobody can join here.
    JoinDesk* join_desk = nullptr;
    std::shared_ptr<TrafficMeter> traffic = std::make_shared<TrafficMeter>();
  };

  // Unavailable where it cannot listen on an address. `acceptor` must outlive the server.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(ThreadExecutor& executor,
                                                           LinkAcceptor& acceptor, Options options);
  // Ends all links: those that were closed have half a second to say goodbye.
  ~GrpcServer();

  // For connections from now on; the links that stand are left alone.
  void UseIdentity(TlsIdentity identity);

  // As asked for, with the ports that were chosen.
  const std::vector<std::string>& addresses() const;

 private:
  class Impl;
  explicit GrpcServer(std::unique_ptr<Impl> impl);

  const std::unique_ptr<Impl> impl_;
};

}  // namespace potluck::wire
