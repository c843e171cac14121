// SHA-256, by OpenSSL: the address of content, and the fingerprint of keys.
// Source: FIPS 180-4.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace potluck {

struct Sha256Digest {
  std::array<uint8_t, 32> bytes{};

  auto operator<=>(const Sha256Digest&) const = default;
  std::string ToHex() const;  // 64 lower-case digits
  // Nothing unless `hex` is exactly what ToHex gives for some digest.
  static std::optional<Sha256Digest> FromHex(std::string_view hex);
};

// Thread-safe. About 0.4 GB/s per core, four times that where the CPU has SHA instructions.
Sha256Digest Sha256(std::span<const std::byte> bytes);
Sha256Digest Sha256(std::string_view bytes);

}  // namespace potluck

template <>
struct std::hash<potluck::Sha256Digest> {
  size_t operator()(const potluck::Sha256Digest& digest) const noexcept;
};
