// One metadata value of a GGUF file: a view of its bytes, decoded when asked for, so that a
// vocabulary of 250,000 strings is not copied before it is used.
// Source: docs/formats.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace potluck::model {

enum class GgufType : uint32_t {
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64,
};

inline constexpr uint32_t kNumGgufTypes = 13;

// "u32", "string", "array", ...
std::string_view GgufTypeName(GgufType type);

// Bytes of one value of a fixed-size type; 0 for strings and arrays.
int GgufTypeBytes(GgufType type);

// Borrows the file's bytes. The parser (gguf_header.h) has checked them: strings end inside them,
// bools are 0 or 1. Thread-safe.
class GgufValue {
 public:
  // A single value has count 1; `bytes` holds `count` values one after another, a string as its u64
  // length and its bytes.
  GgufValue(GgufType type, bool is_array, uint64_t count, std::span<const std::byte> bytes)
      : type_(type), is_array_(is_array), count_(count), bytes_(bytes) {}

  GgufType type() const { return is_array_ ? GgufType::kArray : type_; }
  bool is_array() const { return is_array_; }
  uint64_t count() const { return count_; }

  // The single value, or nothing where it is of another kind (or, for Int, beyond int64).
  std::optional<int64_t> Int() const;   // integers of any width
  std::optional<double> Float() const;  // floats and integers
  std::optional<bool> Bool() const;     // bool only
  std::optional<std::string_view> String() const;

  // All elements of an array, under the same rules for each.
  std::optional<std::vector<int64_t>> Ints() const;
  std::optional<std::vector<double>> Floats() const;
  std::optional<std::vector<bool>> Bools() const;
  std::optional<std::vector<std::string_view>> Strings() const;  // views into the file

  // For people: "llama", 4096, true, or "[3 strings: a, b, ...]". Text is made printable and cut
  // after `max_chars` bytes.
  std::string ToString(size_t max_chars = 120) const;

  // As "u32" or "array of string".
  std::string TypeName() const;

 private:
  GgufType type_;
  bool is_array_;
  uint64_t count_;
  std::span<const std::byte> bytes_;
};

}  // namespace potluck::model
