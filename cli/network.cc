#include "cli/network.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/host_port.h"
#include "common/status_macros.h"

namespace potluck::cli {
namespace {

// Any port will do: no packet is sent.
constexpr char kPort[] = "9";
// TEST-NET-1 (RFC 5737): nobody is there, but the way to it is the way out.
constexpr char kOutside[] = "192.0.2.1";

std::string NumericHost(const sockaddr* address, socklen_t size) {
  std::array<char, NI_MAXHOST> text{};
  getnameinfo(address, size, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST);
  return text.data();
}

// From this machine to another, both numeric.
struct Way {
  std::string from, to;
};

absl::StatusOr<Way> WayTo(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host.c_str(), kPort, &hints, &found); error != 0) {
    return absl::UnavailableError(
        absl::StrCat("there is no way to ", host, " (", gai_strerror(error), ")"));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> freed(found, freeaddrinfo);
  for (const addrinfo* to = found; to != nullptr; to = to->ai_next) {
    const int socket_number = socket(to->ai_family, to->ai_socktype | SOCK_CLOEXEC, 0);
    if (socket_number < 0) continue;
    sockaddr_storage local{};
    socklen_t size = sizeof(local);
    auto* address = reinterpret_cast<sockaddr*>(&local);
    const bool known = connect(socket_number, to->ai_addr, to->ai_addrlen) == 0 &&
                       getsockname(socket_number, address, &size) == 0;
    close(socket_number);
    Way way;
    if (known) way = {NumericHost(address, size), NumericHost(to->ai_addr, to->ai_addrlen)};
    if (!way.from.empty() && !way.to.empty()) return way;
  }
  return absl::UnavailableError(absl::StrCat("there is no way to ", host));
}

// Of an interface that is up, where no way leads out of the house. IPv4 first; "" where there is
// none.
std::string AddressOfAnInterface() {
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return "";
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> freed(all, freeifaddrs);
  for (const int family : {AF_INET, AF_INET6}) {
    for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
      const bool is_up = (one->ifa_flags & IFF_UP) != 0 && (one->ifa_flags & IFF_LOOPBACK) == 0;
      if (!is_up || one->ifa_addr == nullptr || one->ifa_addr->sa_family != family) continue;
      const bool is_local_to_link =
          family == AF_INET6 &&
          IN6_IS_ADDR_LINKLOCAL(&reinterpret_cast<const sockaddr_in6*>(one->ifa_addr)->sin6_addr);
      const socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
      if (!is_local_to_link) return NumericHost(one->ifa_addr, size);
    }
  }
  return "";
}

}  // namespace

bool IsLoopback(const std::string& host) {
  return absl::StartsWith(host, "127.") || host == "::1" || host == "localhost";
}

bool IsAnyAddress(const std::string& host) { return host == "0.0.0.0" || host == "::"; }

std::string AddressTrouble(const std::string& text) {
  return std::string(ParseHostPort(text).status().message());
}

std::string DialledHere(const std::string& listens) {
  if (!IsAnyAddress(listens)) return listens;
  return listens == "::" ? "::1" : "127.0.0.1";
}

absl::StatusOr<std::string> AddressTowards(const std::string& host) {
  POTLUCK_ASSIGN_OR_RETURN(const Way way, WayTo(host));
  return way.from;
}

std::string AddressOfThisMachine() {
  const absl::StatusOr<std::string> outwards = AddressTowards(kOutside);
  if (outwards.ok()) return *outwards;
  const std::string inside = AddressOfAnInterface();
  return inside.empty() ? "127.0.0.1" : inside;
}

absl::StatusOr<std::string> Reachable(const std::string& address) {
  POTLUCK_ASSIGN_OR_RETURN(HostPort at, ParseHostPort(address));
  if (IsAnyAddress(at.host)) at.host = AddressOfThisMachine();
  return JoinHostPort(at.host, at.port);
}

OwnAddresses::OwnAddresses(std::vector<std::string> listens, const std::string& coordinator)
    : listens_(std::move(listens)), towards_(kOutside) {
  const absl::StatusOr<Way> way = WayTo(coordinator);
  if (way.ok() && !IsLoopback(way->to)) towards_ = way->to;
}

std::vector<std::string> OwnAddresses::Now() {
  const absl::StatusOr<std::string> own = AddressTowards(towards_);
  if (own.ok()) last_ = *own;
  std::vector<std::string> addresses = listens_;
  for (std::string& address : addresses) {
    const auto at = ParseHostPort(address);
    if (at.ok() && IsAnyAddress(at->host))
      address = JoinHostPort(last_.empty() ? DialledHere(at->host) : last_, at->port);
  }
  return addresses;
}

}  // namespace potluck::cli
