#include "wire/trust/join_proof.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "common/check.h"

namespace potluck::wire {

std::string JoinProof(const JoinCode& code, std::string_view request) {
  std::string text("potluck join 1");
  text.push_back('\0');
  text += code.authority;
  text.push_back('\0');
  text += request;
  std::string proof(EVP_MAX_MD_SIZE, '\0');
  unsigned int size = 0;
  const unsigned char* done =
      HMAC(EVP_sha256(), code.secret.data(), static_cast<int>(code.secret.size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(),
           reinterpret_cast<unsigned char*>(proof.data()), &size);
  POTLUCK_CHECK(done != nullptr);
  proof.resize(size);
  return proof;
}

bool ProofMatches(const JoinCode& code, std::string_view request, std::string_view proof) {
  const std::string wanted = JoinProof(code, request);
  return proof.size() == wanted.size() &&
         CRYPTO_memcmp(proof.data(), wanted.data(), wanted.size()) == 0;
}

}  // namespace potluck::wire
