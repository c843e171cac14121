// This machine's addresses.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace potluck::cli {

bool IsLoopback(const std::string& host);    // "127.0.0.1", "::1", "localhost"
bool IsAnyAddress(const std::string& host);  // "0.0.0.0", "::"

// Why it is no "HOST:PORT"; empty where it is one. For CLI::Option::check.
std::string AddressTrouble(const std::string& text);

// Where this machine itself reaches what listens there.
std::string DialledHere(const std::string& listens);

// The address of this machine's interface that leads to that host; Unavailable where none does.
absl::StatusOr<std::string> AddressTowards(const std::string& host);
// The one that leads out of this machine; "127.0.0.1" where it has no network.
std::string AddressOfThisMachine();
// "HOST:PORT" as others reach it: an address that means all of this machine's is written as the one
// that leads out.
absl::StatusOr<std::string> Reachable(const std::string& address);

// Where others reach a worker of this machine at this moment: an address that means all of this
// machine's is written as the one towards the coordinator, or, where the coordinator is on this
// machine, as the one that leads out. Looks names up once, when it is made; asking is quick.
class OwnAddresses {
 public:
  // All "HOST:PORT"; `coordinator` is a host.
  OwnAddresses(std::vector<std::string> listens, const std::string& coordinator);
  std::vector<std::string> Now();

 private:
  const std::vector<std::string> listens_;
  std::string towards_;  // a numeric address beyond this machine
  std::string last_;     // the way there led from here; where there is none now, it may come back
};

}  // namespace potluck::cli
