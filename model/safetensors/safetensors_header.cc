#include "model/safetensors/safetensors_header.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "model/bounded_json.h"

namespace potluck::model {
namespace {

struct DTypeBits {
  std::string_view name;
  int bits;
};

constexpr DTypeBits kDTypes[] = {
    {"BOOL", 8},        {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
    {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
    {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16},    {"BF16", 16},
    {"I32", 32},        {"U32", 32},    {"F32", 32},    {"C64", 64},    {"F64", 64},
    {"I64", 64},        {"U64", 64},
};

absl::Status Invalid(const std::string& name, absl::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat("tensor \"", Printable(name), "\" ", problem));
}

// Bits that the shape takes; none where they overflow.
std::optional<uint64_t> BitsOf(const std::vector<int64_t>& shape, int bits) {
  uint64_t total = bits;
  for (const int64_t size : shape) {
    if (size == 0) return 0;
    if (total > std::numeric_limits<uint64_t>::max() / static_cast<uint64_t>(size)) {
      return std::nullopt;
    }
    total *= size;
  }
  return total;
}

absl::StatusOr<std::vector<int64_t>> ReadShape(const std::string& name, const Json* json) {
  if (json == nullptr || !json->is_array()) return Invalid(name, "has no shape");
  std::vector<int64_t> shape;
  for (const Json& size : *json) {
    const std::optional<int64_t> value = size.is_number_integer() ? IntValue(&size) : std::nullopt;
    if (!value || *value < 0) {
      return Invalid(
          name,
          absl::StrCat("has the size ",
                       Printable(size.dump(-1, ' ', true, Json::error_handler_t::replace), 40),
                       " in its shape"));
    }
    shape.push_back(*value);
  }
  return shape;
}

// Offsets are relative to the data here.
absl::StatusOr<SafetensorsEntry> ReadEntry(const std::string& name, const Json& json) {
  if (!json.is_object()) return Invalid(name, "is not described by a JSON object");
  SafetensorsEntry entry{};
  entry.name = name;
  const std::optional<std::string> dtype = StringValue(FindKey(json, "dtype"));
  if (!dtype) return Invalid(name, "has no dtype");
  const auto* found = std::find_if(std::begin(kDTypes), std::end(kDTypes),
                                   [&](const DTypeBits& known) { return known.name == *dtype; });
  if (found == std::end(kDTypes)) {
    return Invalid(name, absl::StrCat("has the dtype \"", Printable(*dtype, 40),
                                      "\", which safetensors does not define"));
  }
  entry.dtype = found->name;
  POTLUCK_ASSIGN_OR_RETURN(entry.shape, ReadShape(name, FindKey(json, "shape")));
  const Json* offsets = FindKey(json, "data_offsets");
  if (offsets == nullptr || !offsets->is_array() || offsets->size() != 2 ||
      !(*offsets)[0].is_number_unsigned() || !(*offsets)[1].is_number_unsigned()) {
    return Invalid(name, "has no data_offsets of two numbers");
  }
  const auto begin = (*offsets)[0].get<uint64_t>();
  const auto end = (*offsets)[1].get<uint64_t>();
  if (end < begin)
    return Invalid(name, absl::StrCat("ends at ", end, " before it begins at ", begin));
  const std::optional<uint64_t> bits = BitsOf(entry.shape, found->bits);
  if (!bits || *bits % 8 != 0 || *bits / 8 != end - begin) {
    return Invalid(name,
                   absl::StrCat("has ", end - begin, " bytes where its shape and dtype ask for ",
                                bits ? absl::StrCat(*bits / 8) : "more than 2^61"));
  }
  entry.offset = begin;
  entry.size_bytes = end - begin;
  return entry;
}

absl::Status ReadMetadata(const Json& json, SafetensorsHeader& header) {
  if (!json.is_object()) return absl::InvalidArgumentError("__metadata__ is not a JSON object");
  for (const auto& [key, value] : json.items()) {
    if (!value.is_string()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "__metadata__ holds something other than text for \"", Printable(key), "\""));
    }
    header.metadata.emplace_back(key, value.get<std::string>());
  }
  return absl::OkStatus();
}

// Together the tensors must cover the data without overlap or hole. Makes offsets absolute.
absl::Status PlaceTensors(uint64_t data_start, uint64_t file_bytes,
                          std::vector<SafetensorsEntry>& tensors) {
  std::stable_sort(tensors.begin(), tensors.end(),
                   [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
                     return std::pair(a.offset, a.size_bytes) < std::pair(b.offset, b.size_bytes);
                   });
  const uint64_t data_bytes = file_bytes - data_start;
  uint64_t expected = 0;
  for (SafetensorsEntry& entry : tensors) {
    if (entry.offset != expected) {
      return Invalid(entry.name, absl::StrCat(entry.offset < expected ? "overlaps the one before it"
                                                                      : "leaves a hole before it",
                                              ": it begins at ", entry.offset, " and ", expected,
                                              " is expected"));
    }
    if (entry.size_bytes > data_bytes - expected) {
      return Invalid(entry.name, absl::StrCat("ends beyond the file's ", file_bytes,
                                              " bytes; the file is cut off, fetch it again"));
    }
    expected += entry.size_bytes;
    entry.offset += data_start;
  }
  if (expected != data_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the file has ", data_bytes - expected, " bytes that belong to no tensor"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(std::span<const std::byte> file) {
  uint64_t header_bytes = 0;
  if (file.size() < sizeof(header_bytes)) {
    return absl::InvalidArgumentError(
        absl::StrCat("not a safetensors file: it has only ", file.size(), " bytes"));
  }
  std::memcpy(&header_bytes, file.data(), sizeof(header_bytes));
  const uint64_t rest = file.size() - sizeof(header_bytes);
  if (header_bytes > kMaxSafetensorsHeaderBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the header claims ", header_bytes,
                                                   " bytes; at most ", kMaxSafetensorsHeaderBytes,
                                                   " are read"));
  }
  if (header_bytes > rest) {
    return absl::InvalidArgumentError(absl::StrCat("the header claims ", header_bytes,
                                                   " bytes and the file has only ", rest,
                                                   " more; it is cut off, fetch it again"));
  }
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + sizeof(header_bytes),
                              header_bytes);
  if (!text.starts_with('{')) {
    return absl::InvalidArgumentError("the header does not begin with \"{\"");
  }
  absl::StatusOr<Json> json = ParseBoundedJson(text);
  if (!json.ok()) return Annotate(json.status(), "the header");
  SafetensorsHeader header;
  for (const auto& [name, value] : json->items()) {
    if (name == "__metadata__") {
      POTLUCK_RETURN_IF_ERROR(ReadMetadata(value, header));
      continue;
    }
    POTLUCK_ASSIGN_OR_RETURN(SafetensorsEntry entry, ReadEntry(name, value));
    header.tensors.push_back(std::move(entry));
  }
  POTLUCK_RETURN_IF_ERROR(
      PlaceTensors(sizeof(header_bytes) + header_bytes, file.size(), header.tensors));
  return header;
}

}  // namespace potluck::model
