// Who a process is to the other members of its cluster: what mutual TLS needs.
#pragma once

#include <string>

#include "wire/messages.h"

namespace potluck::wire {

struct TlsIdentity {
  WorkerId id;              // or kCoordinator
  std::string private_key;  // PEM
  std::string certificate;  // PEM: for that key, then the authority's
  std::string authority;    // PEM: the cluster's certificate, the only root
};

// The name in a member's certificate, which stands for it wherever it runs:
// "<id>.worker.potluck", "coordinator.potluck".
std::string TlsName(const WorkerId& id);
// The member of that name; empty if it is none's.
WorkerId MemberOfTlsName(const std::string& name);

}  // namespace potluck::wire
