// How a machine shows that it knows a join code's secret without sending it.
//
//   proof = HMAC-SHA256(secret, "potluck join 1" 0x00 authority 0x00 request)
//
// with the secret's and the authority's digits as in the code, and the certificate request's bytes:
// it is of no use for another key, or for another cluster. Source: RFC 2104; the contents are ours.
#pragma once

#include <string>
#include <string_view>

#include "wire/trust/join_code.h"

namespace potluck::wire {

std::string JoinProof(const JoinCode& code, std::string_view request);
// In a time that does not depend on where they differ.
bool ProofMatches(const JoinCode& code, std::string_view request, std::string_view proof);

}  // namespace potluck::wire
