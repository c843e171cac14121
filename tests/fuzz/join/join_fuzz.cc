// Any text as a line that a person pastes, and as what a stranger sends to the desk.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "wire/trust/certificates.h"
#include "wire/trust/join_code.h"
#include "wire/trust/tls_identity.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace wire = potluck::wire;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto line = wire::ParseJoinLine(text);
  if (line.ok()) {
    const std::string again = line->address + "/" + wire::FormatJoinCode(line->code);
    if (text.find(again) == std::string::npos) std::abort();
  }
  static_cast<void>(wire::ReadCertificateRequest(text));
  static_cast<void>(wire::ReadCertificates(text));
  const wire::WorkerId member = wire::MemberOfTlsName(text);
  if (!member.empty() && wire::TlsName(member) != text) std::abort();
  return 0;
}
