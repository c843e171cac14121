#include "common/sha256.h"

#include <openssl/evp.h>

#include <cstring>

#include "common/check.h"

namespace potluck {
namespace {

constexpr char kDigits[] = "0123456789abcdef";

std::optional<uint8_t> DigitValue(char digit) {
  if (digit >= '0' && digit <= '9') return static_cast<uint8_t>(digit - '0');
  if (digit >= 'a' && digit <= 'f') return static_cast<uint8_t>(digit - 'a' + 10);
  return std::nullopt;
}

}  // namespace

std::string Sha256Digest::ToHex() const {
  std::string hex;
  hex.reserve(2 * bytes.size());
  for (const uint8_t byte : bytes) {
    hex.push_back(kDigits[byte >> 4]);
    hex.push_back(kDigits[byte & 15]);
  }
  return hex;
}

std::optional<Sha256Digest> Sha256Digest::FromHex(std::string_view hex) {
  Sha256Digest digest;
  if (hex.size() != 2 * digest.bytes.size()) return std::nullopt;
  for (size_t i = 0; i < digest.bytes.size(); ++i) {
    const std::optional<uint8_t> high = DigitValue(hex[2 * i]), low = DigitValue(hex[2 * i + 1]);
    if (!high || !low) return std::nullopt;
    digest.bytes[i] = static_cast<uint8_t>(*high << 4 | *low);
  }
  return digest;
}

Sha256Digest Sha256(std::span<const std::byte> bytes) {
  Sha256Digest digest;
  unsigned int size = 0;
  // Fails only where OpenSSL's own default provider is missing.
  POTLUCK_CHECK(EVP_Digest(bytes.data(), bytes.size(), digest.bytes.data(), &size, EVP_sha256(),
                           nullptr) == 1 &&
                size == digest.bytes.size());
  return digest;
}

Sha256Digest Sha256(std::string_view bytes) {
  return Sha256(std::as_bytes(std::span(bytes.data(), bytes.size())));
}

}  // namespace potluck

size_t std::hash<potluck::Sha256Digest>::operator()(
    const potluck::Sha256Digest& digest) const noexcept {
  size_t value = 0;
  std::memcpy(&value, digest.bytes.data(), sizeof(value));
  return value;
}
