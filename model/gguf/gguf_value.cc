#include "model/gguf/gguf_value.h"

#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/text.h"

namespace potluck::model {
namespace {

struct TypeTraits {
  std::string_view name;
  int bytes;
};

constexpr TypeTraits kTraits[kNumGgufTypes] = {
    {"u8", 1},   {"i8", 1},     {"u16", 2},   {"i16", 2}, {"u32", 4}, {"i32", 4}, {"f32", 4},
    {"bool", 1}, {"string", 0}, {"array", 0}, {"u64", 8}, {"i64", 8}, {"f64", 8},
};

template <typename T>
T Load(const std::byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

std::optional<int64_t> LoadInt(GgufType type, const std::byte* bytes) {
  switch (type) {
    case GgufType::kUint8:
      return Load<uint8_t>(bytes);
    case GgufType::kInt8:
      return Load<int8_t>(bytes);
    case GgufType::kUint16:
      return Load<uint16_t>(bytes);
    case GgufType::kInt16:
      return Load<int16_t>(bytes);
    case GgufType::kUint32:
      return Load<uint32_t>(bytes);
    case GgufType::kInt32:
      return Load<int32_t>(bytes);
    case GgufType::kInt64:
      return Load<int64_t>(bytes);
    case GgufType::kUint64: {
      const auto value = Load<uint64_t>(bytes);
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
      return static_cast<int64_t>(value);
    }
    default:
      return std::nullopt;
  }
}

std::optional<double> LoadFloat(GgufType type, const std::byte* bytes) {
  if (type == GgufType::kFloat32) return Load<float>(bytes);
  if (type == GgufType::kFloat64) return Load<double>(bytes);
  if (type == GgufType::kUint64) return static_cast<double>(Load<uint64_t>(bytes));
  if (const std::optional<int64_t> value = LoadInt(type, bytes)) {
    return static_cast<double>(*value);
  }
  return std::nullopt;
}

// Takes the string at the front of `bytes`.
std::string_view TakeString(std::span<const std::byte>& bytes) {
  const auto length = Load<uint64_t>(bytes.data());
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + 8, length);
  bytes = bytes.subspan(8 + length);
  return text;
}

std::string ElementToString(GgufType type, std::span<const std::byte>& bytes, size_t max_chars) {
  if (type == GgufType::kString) return Printable(TakeString(bytes), max_chars);
  const std::byte* data = bytes.data();
  bytes = bytes.subspan(GgufTypeBytes(type));
  if (type == GgufType::kBool) return Load<uint8_t>(data) != 0 ? "true" : "false";
  if (type == GgufType::kUint64) return absl::StrCat(Load<uint64_t>(data));
  if (type == GgufType::kFloat32) return absl::StrCat(Load<float>(data));
  if (type == GgufType::kFloat64) return absl::StrCat(Load<double>(data));
  return absl::StrCat(LoadInt(type, data).value_or(0));
}

}  // namespace

std::string_view GgufTypeName(GgufType type) { return kTraits[static_cast<int>(type)].name; }

int GgufTypeBytes(GgufType type) { return kTraits[static_cast<int>(type)].bytes; }

std::optional<int64_t> GgufValue::Int() const {
  return is_array_ ? std::nullopt : LoadInt(type_, bytes_.data());
}

std::optional<double> GgufValue::Float() const {
  return is_array_ ? std::nullopt : LoadFloat(type_, bytes_.data());
}

std::optional<bool> GgufValue::Bool() const {
  if (is_array_ || type_ != GgufType::kBool) return std::nullopt;
  return Load<uint8_t>(bytes_.data()) != 0;
}

std::optional<std::string_view> GgufValue::String() const {
  if (is_array_ || type_ != GgufType::kString) return std::nullopt;
  std::span<const std::byte> rest = bytes_;
  return TakeString(rest);
}

std::optional<std::vector<int64_t>> GgufValue::Ints() const {
  if (!is_array_) return std::nullopt;
  std::vector<int64_t> values;
  values.reserve(count_);
  for (uint64_t i = 0; i < count_; ++i) {
    const std::optional<int64_t> value = LoadInt(type_, bytes_.data() + i * GgufTypeBytes(type_));
    if (!value) return std::nullopt;
    values.push_back(*value);
  }
  return values;
}

std::optional<std::vector<double>> GgufValue::Floats() const {
  if (!is_array_) return std::nullopt;
  std::vector<double> values;
  values.reserve(count_);
  for (uint64_t i = 0; i < count_; ++i) {
    const std::optional<double> value = LoadFloat(type_, bytes_.data() + i * GgufTypeBytes(type_));
    if (!value) return std::nullopt;
    values.push_back(*value);
  }
  return values;
}

std::optional<std::vector<bool>> GgufValue::Bools() const {
  if (!is_array_ || type_ != GgufType::kBool) return std::nullopt;
  std::vector<bool> values;
  values.reserve(count_);
  for (uint64_t i = 0; i < count_; ++i) values.push_back(bytes_[i] != std::byte{0});
  return values;
}

std::optional<std::vector<std::string_view>> GgufValue::Strings() const {
  if (!is_array_ || type_ != GgufType::kString) return std::nullopt;
  std::vector<std::string_view> values;
  values.reserve(count_);
  std::span<const std::byte> rest = bytes_;
  for (uint64_t i = 0; i < count_; ++i) values.push_back(TakeString(rest));
  return values;
}

std::string GgufValue::ToString(size_t max_chars) const {
  std::span<const std::byte> rest = bytes_;
  if (!is_array_) return ElementToString(type_, rest, max_chars);
  std::string text = absl::StrCat("[", count_, " x ", ToAbsl(GgufTypeName(type_)), ":");
  for (uint64_t i = 0; i < count_; ++i) {
    if (text.size() > max_chars) return text + " ...]";
    absl::StrAppend(&text, i == 0 ? " " : ", ", ElementToString(type_, rest, max_chars));
  }
  return text + "]";
}

std::string GgufValue::TypeName() const {
  return absl::StrCat(is_array_ ? "array of " : "", ToAbsl(GgufTypeName(type_)));
}

}  // namespace potluck::model
