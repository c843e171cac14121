// The header of one GGUF file: metadata and the list of tensors, every number checked against the
// bytes that are there before it is used or allocated for.
// Source: docs/formats.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "model/gguf/ggml_types.h"
#include "model/gguf/gguf_value.h"

namespace potluck::model {

// In the file's order, with typed look-up. Views borrow the parsed bytes. Thread-safe.
class GgufMetadata {
 public:
  struct Entry {
    std::string_view key;
    GgufValue value;
  };

  std::span<const Entry> entries() const { return entries_; }
  const GgufValue* Find(std::string_view key) const;

  // NotFound where the key is missing, InvalidArgument where its value is of another kind; both
  // name the key.
  absl::StatusOr<int64_t> Int(std::string_view key) const;
  absl::StatusOr<double> Float(std::string_view key) const;
  absl::StatusOr<bool> Bool(std::string_view key) const;
  absl::StatusOr<std::string_view> String(std::string_view key) const;
  absl::StatusOr<std::vector<int64_t>> Ints(std::string_view key) const;
  absl::StatusOr<std::vector<double>> Floats(std::string_view key) const;
  absl::StatusOr<std::vector<std::string_view>> Strings(std::string_view key) const;

  // False, and nothing changed, where the key is there already.
  bool Add(std::string_view key, const GgufValue& value);

 private:
  std::vector<Entry> entries_;
  std::unordered_map<std::string_view, size_t> index_;
};

struct GgufTensorInfo {
  std::string_view name;
  const GgmlType* type;
  // Slowest dimension first, the reverse of the file's order: a matrix is (out, in). Never empty.
  std::vector<int64_t> shape;
  uint64_t offset;  // of the first byte, from the start of the file
  uint64_t size_bytes;
};

struct GgufHeader {
  uint32_t version;
  GgufMetadata metadata;
  std::vector<GgufTensorInfo> tensors;  // in the file's order
  uint64_t size_bytes;                  // of the header: what comes before padding and tensors
};

// `file` is the whole file. InvalidArgument says what is wrong and at which byte or in which key or
// tensor. Time and memory are linear in the header's real bytes. Borrows `file`.
absl::StatusOr<GgufHeader> ParseGgufHeader(std::span<const std::byte> file);
// Where only the header is at hand, the tensors are elsewhere: they must follow one another, but
// not end within `header`.
absl::StatusOr<GgufHeader> ParseGgufHeaderAlone(std::span<const std::byte> header);

}  // namespace potluck::model
