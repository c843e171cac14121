// Writes GGUF files byte by byte, sound ones and broken ones, independent of the reader.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace potluck::model {

template <typename T>
std::string Bytes(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

inline std::string LengthAndText(std::string_view text) {
  return Bytes<uint64_t>(text.size()) + std::string(text);
}

class GgufBuilder {
 public:
  // A value by its type's number and encoded bytes.
  GgufBuilder& Add(std::string_view key, uint32_t type, std::string_view value) {
    entries_ += LengthAndText(key) + Bytes(type) + std::string(value);
    ++num_entries_;
    return *this;
  }
  GgufBuilder& U32(std::string_view key, uint32_t value) { return Add(key, 4, Bytes(value)); }
  GgufBuilder& F32(std::string_view key, float value) { return Add(key, 6, Bytes(value)); }
  GgufBuilder& Bool(std::string_view key, bool value) { return Add(key, 7, Bytes<uint8_t>(value)); }
  GgufBuilder& Text(std::string_view key, std::string_view value) {
    return Add(key, 8, LengthAndText(value));
  }
  GgufBuilder& Texts(std::string_view key, const std::vector<std::string>& values) {
    std::string bytes = Bytes<uint32_t>(8) + Bytes<uint64_t>(values.size());
    for (const std::string& value : values) bytes += LengthAndText(value);
    return Add(key, 9, bytes);
  }
  template <typename T>
  GgufBuilder& Array(std::string_view key, uint32_t type, const std::vector<T>& values) {
    std::string bytes = Bytes(type) + Bytes<uint64_t>(values.size());
    for (const T value : values) bytes += Bytes<T>(value);
    return Add(key, 9, bytes);
  }

  // `shape` slowest dimension first, as Potluck writes it; the file has it reversed.
  GgufBuilder& Tensor(std::string_view name, const std::vector<int64_t>& shape, uint32_t type,
                      std::string_view data) {
    return TensorAt(name, shape, type, data, data_.size());
  }
  GgufBuilder& TensorAt(std::string_view name, const std::vector<int64_t>& shape, uint32_t type,
                        std::string_view data, uint64_t offset) {
    infos_ += LengthAndText(name) + Bytes<uint32_t>(shape.size());
    for (size_t i = shape.size(); i > 0; --i) infos_ += Bytes(shape[i - 1]);
    infos_ += Bytes(type) + Bytes(offset);
    ++num_tensors_;
    data_ += data;
    data_.resize((data_.size() + alignment_ - 1) / alignment_ * alignment_);
    return *this;
  }
  GgufBuilder& Floats(std::string_view name, const std::vector<int64_t>& shape) {
    int64_t count = 1;
    for (const int64_t size : shape) count *= size;
    std::string data;
    for (int64_t i = 0; i < count; ++i) data += Bytes(static_cast<float>(i));
    return Tensor(name, shape, 0, data);
  }

  GgufBuilder& Version(uint32_t version) {
    version_ = version;
    return *this;
  }
  // What the writer pads to; the key is not written.
  GgufBuilder& Alignment(uint64_t alignment) {
    alignment_ = alignment;
    return *this;
  }
  GgufBuilder& Counts(uint64_t tensors, uint64_t entries) {
    num_tensors_ = tensors;
    num_entries_ = entries;
    return *this;
  }

  std::string Build() const {
    std::string file =
        "GGUF" + Bytes(version_) + Bytes(num_tensors_) + Bytes(num_entries_) + entries_ + infos_;
    if (!infos_.empty()) file.resize((file.size() + alignment_ - 1) / alignment_ * alignment_);
    return file + data_;
  }

 private:
  uint32_t version_ = 3;
  uint64_t alignment_ = 32;
  uint64_t num_entries_ = 0, num_tensors_ = 0;
  std::string entries_, infos_, data_;
};

// The metadata of a llama of two layers: D 32, F 64, H 4, G 2, V 3.
inline GgufBuilder SmallLlama() {
  GgufBuilder builder;
  builder.Text("general.architecture", "llama")
      .Text("general.name", "small")
      .U32("llama.context_length", 128)
      .U32("llama.embedding_length", 32)
      .U32("llama.block_count", 2)
      .U32("llama.feed_forward_length", 64)
      .U32("llama.attention.head_count", 4)
      .U32("llama.attention.head_count_kv", 2)
      .F32("llama.attention.layer_norm_rms_epsilon", 1e-5f)
      .U32("llama.vocab_size", 3);
  return builder;
}

}  // namespace potluck::model
