#include "wire/grpc/targets.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <memory>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/host_port.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace potluck::wire {
namespace {

struct FreeAddresses {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};

// Empty where the host is no numeric address. A zone ("%eth0") needs no more than its sign escaped.
std::string NumericTarget(const HostPort& address) {
  in_addr v4;
  if (inet_pton(AF_INET, address.host.c_str(), &v4) == 1)
    return absl::StrCat("ipv4:", JoinHostPort(address.host, address.port));
  const size_t zone = address.host.find('%');
  in6_addr v6;
  if (inet_pton(AF_INET6, address.host.substr(0, zone).c_str(), &v6) != 1) return "";
  std::string host = address.host;
  if (zone != std::string::npos) host.insert(zone + 1, "25");
  return absl::StrCat("ipv6:", JoinHostPort(host, address.port));
}

}  // namespace

absl::StatusOr<Targets> ParseTarget(const std::string& address) {
  POTLUCK_ASSIGN_OR_RETURN(const HostPort parsed, ParseHostPort(address));
  if (parsed.port == 0)
    return absl::InvalidArgumentError(absl::StrCat("'", Printable(address), "' has port 0"));
  std::string target = NumericTarget(parsed);
  if (target.empty()) return Targets{{}, true};
  return Targets{{std::move(target)}, false};
}

absl::StatusOr<std::vector<std::string>> ResolveTarget(const std::string& address) {
  POTLUCK_ASSIGN_OR_RETURN(const HostPort parsed, ParseHostPort(address));
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(parsed.host.c_str(), nullptr, &hints, &found);
  if (error != 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot find the host '", Printable(parsed.host), "': ", gai_strerror(error)));
  }
  const std::unique_ptr<addrinfo, FreeAddresses> list(found);
  std::vector<std::string> targets;
  for (const addrinfo* item = found; item != nullptr; item = item->ai_next) {
    char host[NI_MAXHOST];
    if (getnameinfo(item->ai_addr, item->ai_addrlen, host, sizeof(host), nullptr, 0,
                    NI_NUMERICHOST) != 0) {
      continue;
    }
    std::string target = NumericTarget({host, parsed.port});
    if (!target.empty()) targets.push_back(std::move(target));
  }
  if (targets.empty()) {
    return absl::UnavailableError(
        absl::StrCat("the host '", Printable(parsed.host), "' has no IP address"));
  }
  return targets;
}

std::string AddressOfPeer(const std::string& peer) {
  std::string address = peer;
  const size_t colon = address.find(':');
  if (colon != std::string::npos) address.erase(0, colon + 1);
  for (const auto& [escaped, plain] : {std::pair("%5B", "["), std::pair("%5D", "]")}) {
    const size_t at = address.find(escaped);
    if (at != std::string::npos) address.replace(at, 3, plain);
  }
  return address;
}

bool IsOnThisMachine(const std::string& peer) {
  const auto address = ParseHostPort(AddressOfPeer(peer));
  if (!address.ok()) return false;
  constexpr std::string_view kMapped = "::ffff:";  // IPv4 in IPv6
  std::string_view host = address->host;
  if (host.starts_with(kMapped)) host.remove_prefix(kMapped.size());
  in_addr v4;
  return host == "::1" ||
         (inet_pton(AF_INET, std::string(host).c_str(), &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127);
}

}  // namespace potluck::wire
