#include "common/host_port.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/text.h"

namespace potluck {
namespace {

absl::Status BadAddress(std::string_view text, std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", Printable(text), "\" is no address: ", ToAbsl(what),
      "; write HOST:PORT, for example 192.168.1.5:7071, nas.local:7071 or [fe80::1]:7071"));
}

}  // namespace

absl::StatusOr<HostPort> ParseHostPort(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return BadAddress(text, "the port is missing");
  std::string_view host = text.substr(0, colon);
  const std::string_view port_text = text.substr(colon + 1);
  if (host.starts_with('[') != host.ends_with(']')) return BadAddress(text, "a bracket is missing");
  const bool in_brackets = host.starts_with('[');
  if (in_brackets) host = host.substr(1, host.size() - 2);
  if (host.empty()) return BadAddress(text, "the host is missing");
  if (!in_brackets && host.find(':') != std::string_view::npos) {
    return BadAddress(text, "an IPv6 address stands in brackets");
  }
  uint32_t port = 0;
  const bool digits = port_text.find_first_not_of("0123456789") == std::string_view::npos;
  if (!digits || !absl::SimpleAtoi(ToAbsl(port_text), &port) || port > 65535) {
    return BadAddress(text, "the port is no number from 0 to 65535");
  }
  return HostPort{std::string(host), static_cast<uint16_t>(port)};
}

std::string WithPort(std::string_view text, uint16_t port) {
  const bool has_port = !text.ends_with(']') && text.find(':') != text.npos;
  return has_port ? std::string(text) : absl::StrCat(ToAbsl(text), ":", port);
}

std::string JoinHostPort(std::string_view host, uint16_t port) {
  const bool brackets = host.find(':') != std::string_view::npos;
  return absl::StrCat(brackets ? "[" : "", ToAbsl(host), brackets ? "]:" : ":", port);
}

}  // namespace potluck
