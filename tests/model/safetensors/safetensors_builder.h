// Writes safetensors files and model folders byte by byte, sound ones and broken ones, independent
// of the reader.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"

namespace potluck::model {

// The header's length, the header, the data.
inline std::string SafetensorsFile(const std::string& header, const std::string& data) {
  const uint64_t size = header.size();
  std::string length(sizeof(size), '\0');
  std::memcpy(length.data(), &size, sizeof(size));
  return length + header + data;
}

// F32 tensors one after another; the values count up from 0 in each.
class SafetensorsBuilder {
 public:
  SafetensorsBuilder& Floats(const std::string& name, const std::vector<int64_t>& shape) {
    int64_t count = 1;
    std::string sizes;
    for (const int64_t size : shape) {
      count *= size;
      sizes += (sizes.empty() ? "" : ",") + std::to_string(size);
    }
    const size_t begin = data_.size();
    for (int64_t i = 0; i < count; ++i) {
      const auto value = static_cast<float>(i);
      data_.append(reinterpret_cast<const char*>(&value), sizeof(value));
    }
    header_ += (header_.empty() ? "" : ",") + ("\"" + name) + "\":{\"dtype\":\"F32\",\"shape\":[" +
               sizes + "],\"data_offsets\":[" + std::to_string(begin) + "," +
               std::to_string(data_.size()) + "]}";
    return *this;
  }
  std::string Build() const { return SafetensorsFile("{" + header_ + "}", data_); }

 private:
  std::string header_, data_;
};

class FolderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "/" +
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void Write(const std::string& name, const std::string& bytes) {
    std::ofstream(folder_ + "/" + name, std::ios::binary) << bytes;
  }
  std::string folder_;
};

inline constexpr char kSmallLlamaJson[] = R"({"model_type": "llama", "hidden_size": 32,
  "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
  "num_key_value_heads": 2, "vocab_size": 3, "max_position_embeddings": 128,
  "rms_norm_eps": 1e-5, "rope_theta": 10000.0})";

}  // namespace potluck::model
