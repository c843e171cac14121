// Links between machines: dials other members of the cluster, with mutual TLS.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/thread_executor.h"
#include "wire/link.h"
#include "wire/traffic.h"
#include "wire/trust/tls_identity.h"

namespace potluck::wire {

// Lives on its executor, which must outlive it. Each link has a connection of its own, so that none
// waits for another's bytes. Names of hosts are resolved by the system, "nas.local" too.
class GrpcTransport final : public Transport {
 public:
  // To be made after the server of the same executor, if there is one.
  GrpcTransport(ThreadExecutor& executor, TlsIdentity identity,
                std::shared_ptr<TrafficMeter> traffic = std::make_shared<TrafficMeter>());
  // Ends all links: those that were closed have half a second to say goodbye. No other thread of
  // its own uses the executor after.
  ~GrpcTransport() override;

  // For what is dialled from now on.
  void UseIdentity(TlsIdentity identity);

  std::unique_ptr<Link> Dial(const WorkerId& worker, const std::vector<std::string>& addresses,
                             LinkKind kind, LinkHandler& handler) override;

 private:
  class Impl;
  const std::shared_ptr<TrafficMeter> traffic_;
  const std::shared_ptr<Impl> impl_;
};

}  // namespace potluck::wire
