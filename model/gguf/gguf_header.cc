#include "model/gguf/gguf_header.h"

#include <cstring>
#include <limits>
#include <unordered_set>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace potluck::model {
namespace {

constexpr uint64_t kDefaultAlignment = 32;
constexpr uint64_t kMaxElements = uint64_t{1} << 30;  // ggml's own limit for strings and arrays
constexpr uint64_t kMaxTensorNameBytes = 63;
constexpr uint32_t kMaxDims = 4;
// The least that an entry can take: a key of one byte with a one-byte value; a tensor with a name
// of no bytes and no dimensions.
constexpr uint64_t kMinEntryBytes = 8 + 1 + 4 + 1;
constexpr uint64_t kMinTensorInfoBytes = 8 + 4 + 4 + 8;

std::string Quoted(std::string_view text) { return absl::StrCat("\"", Printable(text), "\""); }

// Reads little-endian numbers and strings from the front of the file.
class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  uint64_t position() const { return position_; }
  uint64_t remaining() const { return bytes_.size() - position_; }

  template <typename T>
  absl::StatusOr<T> Read(absl::string_view what) {
    POTLUCK_ASSIGN_OR_RETURN(const std::span<const std::byte> part, Take(sizeof(T), what));
    T value;
    std::memcpy(&value, part.data(), sizeof(T));
    return value;
  }

  absl::StatusOr<std::span<const std::byte>> Take(uint64_t count, absl::string_view what) {
    if (count > remaining()) {
      return absl::InvalidArgumentError(absl::StrCat("the file ends in ", what, ": it needs ",
                                                     count, " bytes at offset ", position_, " and ",
                                                     remaining(), " are left; fetch it again"));
    }
    const std::span<const std::byte> part = bytes_.subspan(position_, count);
    position_ += count;
    return part;
  }

  absl::StatusOr<std::string_view> ReadString(absl::string_view what) {
    POTLUCK_ASSIGN_OR_RETURN(const uint64_t length, Read<uint64_t>(what));
    if (length > kMaxElements) {
      return absl::InvalidArgumentError(absl::StrCat("the length of ", what, " is ", length,
                                                     " bytes; at most ", kMaxElements,
                                                     " are allowed"));
    }
    POTLUCK_ASSIGN_OR_RETURN(const std::span<const std::byte> bytes, Take(length, what));
    return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }

  std::span<const std::byte> Since(uint64_t start) const {
    return bytes_.subspan(start, position_ - start);
  }

 private:
  std::span<const std::byte> bytes_;
  uint64_t position_ = 0;
};

absl::StatusOr<GgufType> ReadType(Cursor& cursor, const std::string& what) {
  POTLUCK_ASSIGN_OR_RETURN(const uint32_t type, cursor.Read<uint32_t>(what));
  if (type >= kNumGgufTypes) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " has type ", type, ", which GGUF does not define"));
  }
  return static_cast<GgufType>(type);
}

// Walks over `count` values of `type`, so that later readers need no checks.
absl::Status SkipValues(Cursor& cursor, GgufType type, uint64_t count, const std::string& what) {
  if (type == GgufType::kString) {
    if (count > cursor.remaining() / sizeof(uint64_t)) {
      return absl::InvalidArgumentError(absl::StrCat(
          what, " claims ", count, " strings, more than the rest of the file can hold"));
    }
    for (uint64_t i = 0; i < count; ++i) {
      POTLUCK_RETURN_IF_ERROR(cursor.ReadString(what).status());
    }
    return absl::OkStatus();
  }
  POTLUCK_ASSIGN_OR_RETURN(const std::span<const std::byte> bytes,
                           cursor.Take(count * GgufTypeBytes(type), what));
  if (type == GgufType::kBool) {
    for (const std::byte value : bytes) {
      if (value > std::byte{1}) {
        return absl::InvalidArgumentError(
            absl::StrCat(what, " holds a bool of value ", static_cast<int>(value)));
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<GgufValue> ReadValue(Cursor& cursor, const std::string& what) {
  POTLUCK_ASSIGN_OR_RETURN(GgufType type, ReadType(cursor, what));
  bool is_array = false;
  uint64_t count = 1;
  if (type == GgufType::kArray) {
    is_array = true;
    POTLUCK_ASSIGN_OR_RETURN(type, ReadType(cursor, what));
    if (type == GgufType::kArray) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, " is an array of arrays, which no known file needs"));
    }
    POTLUCK_ASSIGN_OR_RETURN(count, cursor.Read<uint64_t>(what));
    if (count > kMaxElements) {
      return absl::InvalidArgumentError(absl::StrCat(what, " claims ", count, " elements; at most ",
                                                     kMaxElements, " are allowed"));
    }
  }
  const uint64_t start = cursor.position();
  POTLUCK_RETURN_IF_ERROR(SkipValues(cursor, type, count, what));
  return GgufValue(type, is_array, count, cursor.Since(start));
}

absl::StatusOr<uint32_t> ReadVersion(Cursor& cursor) {
  POTLUCK_ASSIGN_OR_RETURN(const std::span<const std::byte> magic, cursor.Take(4, "the magic"));
  if (std::memcmp(magic.data(), "GGUF", 4) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("not a GGUF file: it begins with ",
                     Quoted(std::string_view(reinterpret_cast<const char*>(magic.data()), 4)),
                     " instead of \"GGUF\""));
  }
  POTLUCK_ASSIGN_OR_RETURN(const uint32_t version, cursor.Read<uint32_t>("the version"));
  if (version != 0 && (version & 0xFFFF) == 0) {
    return absl::InvalidArgumentError(
        "a big-endian GGUF file, made for other machines; get the little-endian one");
  }
  if (version != 2 && version != 3) {
    return absl::InvalidArgumentError(
        absl::StrCat("GGUF version ", version, "; versions 2 and 3 are read"));
  }
  return version;
}

absl::StatusOr<GgufMetadata> ReadMetadata(Cursor& cursor, uint64_t count) {
  GgufMetadata metadata;
  for (uint64_t i = 0; i < count; ++i) {
    const std::string where = absl::StrCat("metadata key ", i + 1, " of ", count);
    POTLUCK_ASSIGN_OR_RETURN(const std::string_view key, cursor.ReadString(where));
    if (key.empty()) return absl::InvalidArgumentError(absl::StrCat(where, " has an empty name"));
    POTLUCK_ASSIGN_OR_RETURN(const GgufValue value,
                             ReadValue(cursor, absl::StrCat("metadata key ", Quoted(key))));
    if (!metadata.Add(key, value)) {
      return absl::InvalidArgumentError(
          absl::StrCat("metadata key ", Quoted(key), " is there twice"));
    }
  }
  return metadata;
}

absl::StatusOr<uint64_t> Alignment(const GgufMetadata& metadata) {
  const GgufValue* value = metadata.Find("general.alignment");
  if (value == nullptr) return kDefaultAlignment;
  if (value->type() != GgufType::kUint32) {
    return absl::InvalidArgumentError(
        absl::StrCat("general.alignment is of type ", value->TypeName(), " instead of u32"));
  }
  const uint64_t alignment = value->Int().value_or(0);
  if (alignment < 8 || (alignment & (alignment - 1)) != 0) {
    return absl::InvalidArgumentError(absl::StrCat("general.alignment is ", alignment,
                                                   "; it must be a power of two and at least 8"));
  }
  return alignment;
}

// Sets the shape, its values' number and the bytes they take, none of which overflow.
absl::Status ReadShapeAndType(Cursor& cursor, const std::string& what, GgufTensorInfo& info) {
  POTLUCK_ASSIGN_OR_RETURN(const uint32_t dims, cursor.Read<uint32_t>(what));
  if (dims > kMaxDims) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " has ", dims, " dimensions; at most ", kMaxDims, " are allowed"));
  }
  int64_t values = 1;
  for (uint32_t i = 0; i < dims; ++i) {
    POTLUCK_ASSIGN_OR_RETURN(const int64_t size, cursor.Read<int64_t>(what));
    if (size <= 0) {
      return absl::InvalidArgumentError(absl::StrCat(what, " has a dimension of ", size));
    }
    info.shape.insert(info.shape.begin(), size);
    if (values > std::numeric_limits<int64_t>::max() / size) {
      return absl::InvalidArgumentError(absl::StrCat(what, " has more than 2^63 values: shape (",
                                                     absl::StrJoin(info.shape, ", "), ")"));
    }
    values *= size;
  }
  if (info.shape.empty()) info.shape.push_back(1);
  POTLUCK_ASSIGN_OR_RETURN(const uint32_t number, cursor.Read<uint32_t>(what));
  info.type = FindGgmlType(number);
  if (info.type == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(what, " has tensor type ", number,
                                                   ", which GGUF does not define; supported are ",
                                                   SupportedTypeNames()));
  }
  if (info.shape.back() % info.type->block_values != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " has rows of ", info.shape.back(), " values, not a multiple of the ",
                     info.type->block_values, " in a block of ", ToAbsl(info.type->name)));
  }
  const uint64_t blocks = values / info.type->block_values;
  if (blocks >
      static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) / info.type->block_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(what, " has more than 2^63 bytes"));
  }
  info.size_bytes = blocks * info.type->block_bytes;
  return absl::OkStatus();
}

// The offset is still relative to the data section here.
absl::StatusOr<GgufTensorInfo> ReadTensorInfo(Cursor& cursor, const std::string& where) {
  GgufTensorInfo info{};
  POTLUCK_ASSIGN_OR_RETURN(info.name, cursor.ReadString(where));
  if (info.name.empty() || info.name.size() > kMaxTensorNameBytes) {
    return absl::InvalidArgumentError(absl::StrCat(where, " has a name of ", info.name.size(),
                                                   " bytes; 1 to ", kMaxTensorNameBytes,
                                                   " are allowed"));
  }
  const std::string what = absl::StrCat("tensor ", Quoted(info.name));
  POTLUCK_RETURN_IF_ERROR(ReadShapeAndType(cursor, what, info));
  POTLUCK_ASSIGN_OR_RETURN(info.offset, cursor.Read<uint64_t>(what));
  return info;
}

// Tensors must follow one another, each padded to the alignment, inside the file. Makes their
// offsets absolute. Padding after the last one may be missing.
absl::Status PlaceTensors(uint64_t header_bytes, uint64_t file_bytes, uint64_t alignment,
                          std::vector<GgufTensorInfo>& tensors) {
  const auto padded = [alignment](uint64_t value) {
    return (value + alignment - 1) / alignment * alignment;
  };
  const uint64_t data_start = padded(header_bytes);
  uint64_t expected = 0;
  for (GgufTensorInfo& info : tensors) {
    const std::string what = absl::StrCat("tensor ", Quoted(info.name));
    if (info.offset != expected) {
      const char* problem = info.offset % alignment != 0 ? "is not aligned"
                            : info.offset < expected     ? "overlaps the one before it"
                                                         : "leaves a gap after the one before it";
      return absl::InvalidArgumentError(absl::StrCat(
          what, " ", problem, ": its offset is ", info.offset, " and ", expected, " is expected"));
    }
    // Sums of a checked position and a size below 2^63 don't overflow 64 bits.
    const uint64_t start = data_start + info.offset;
    if (start > file_bytes || info.size_bytes > file_bytes - start) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, " ends at byte ", start + info.size_bytes, ", beyond the file's ",
                       file_bytes, "; the file is cut off, fetch it again"));
    }
    expected = padded(info.offset + info.size_bytes);
    info.offset = start;
  }
  return absl::OkStatus();
}

absl::Status CheckCount(uint64_t count, uint64_t min_bytes, uint64_t remaining,
                        absl::string_view what) {
  if (count <= remaining / min_bytes) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the header claims ", count, " ", what,
                                                 ", more than the file's remaining ", remaining,
                                                 " bytes can hold"));
}

}  // namespace

const GgufValue* GgufMetadata::Find(std::string_view key) const {
  const auto found = index_.find(key);
  return found == index_.end() ? nullptr : &entries_[found->second].value;
}

bool GgufMetadata::Add(std::string_view key, const GgufValue& value) {
  if (!index_.emplace(key, entries_.size()).second) return false;
  entries_.push_back({key, value});
  return true;
}

namespace {

template <typename T>
absl::StatusOr<T> Typed(const GgufMetadata& metadata, std::string_view key, absl::string_view kind,
                        std::optional<T> (GgufValue::*get)() const) {
  const GgufValue* value = metadata.Find(key);
  if (value == nullptr) {
    return absl::NotFoundError(absl::StrCat("metadata key ", Quoted(key), " is missing"));
  }
  std::optional<T> result = (value->*get)();
  if (!result) {
    return absl::InvalidArgumentError(absl::StrCat("metadata key ", Quoted(key), " is not ", kind,
                                                   " but ", value->TypeName(), " ",
                                                   value->ToString(40)));
  }
  return *std::move(result);
}

}  // namespace

absl::StatusOr<int64_t> GgufMetadata::Int(std::string_view key) const {
  return Typed(*this, key, "an integer", &GgufValue::Int);
}
absl::StatusOr<double> GgufMetadata::Float(std::string_view key) const {
  return Typed(*this, key, "a number", &GgufValue::Float);
}
absl::StatusOr<bool> GgufMetadata::Bool(std::string_view key) const {
  return Typed(*this, key, "a bool", &GgufValue::Bool);
}
absl::StatusOr<std::string_view> GgufMetadata::String(std::string_view key) const {
  return Typed(*this, key, "a string", &GgufValue::String);
}
absl::StatusOr<std::vector<int64_t>> GgufMetadata::Ints(std::string_view key) const {
  return Typed(*this, key, "an array of integers", &GgufValue::Ints);
}
absl::StatusOr<std::vector<double>> GgufMetadata::Floats(std::string_view key) const {
  return Typed(*this, key, "an array of numbers", &GgufValue::Floats);
}
absl::StatusOr<std::vector<std::string_view>> GgufMetadata::Strings(std::string_view key) const {
  return Typed(*this, key, "an array of strings", &GgufValue::Strings);
}

namespace {

absl::StatusOr<GgufHeader> ParseHeader(std::span<const std::byte> bytes, uint64_t file_bytes) {
  Cursor cursor(bytes);
  GgufHeader header;
  POTLUCK_ASSIGN_OR_RETURN(header.version, ReadVersion(cursor));
  POTLUCK_ASSIGN_OR_RETURN(const uint64_t tensor_count, cursor.Read<uint64_t>("the tensor count"));
  POTLUCK_ASSIGN_OR_RETURN(const uint64_t entry_count, cursor.Read<uint64_t>("the key count"));
  POTLUCK_RETURN_IF_ERROR(
      CheckCount(tensor_count, kMinTensorInfoBytes, cursor.remaining(), "tensors"));
  POTLUCK_RETURN_IF_ERROR(
      CheckCount(entry_count, kMinEntryBytes, cursor.remaining(), "metadata keys"));
  POTLUCK_ASSIGN_OR_RETURN(header.metadata, ReadMetadata(cursor, entry_count));
  POTLUCK_ASSIGN_OR_RETURN(const uint64_t alignment, Alignment(header.metadata));

  std::unordered_set<std::string_view> names;
  for (uint64_t i = 0; i < tensor_count; ++i) {
    const std::string where = absl::StrCat("tensor ", i + 1, " of ", tensor_count);
    POTLUCK_ASSIGN_OR_RETURN(GgufTensorInfo info, ReadTensorInfo(cursor, where));
    if (!names.insert(info.name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", Quoted(info.name), " is there twice"));
    }
    header.tensors.push_back(std::move(info));
  }
  header.size_bytes = cursor.position();
  POTLUCK_RETURN_IF_ERROR(PlaceTensors(header.size_bytes, file_bytes, alignment, header.tensors));
  return header;
}

}  // namespace

absl::StatusOr<GgufHeader> ParseGgufHeader(std::span<const std::byte> file) {
  return ParseHeader(file, file.size());
}

absl::StatusOr<GgufHeader> ParseGgufHeaderAlone(std::span<const std::byte> header) {
  return ParseHeader(header, std::numeric_limits<int64_t>::max());
}

}  // namespace potluck::model
