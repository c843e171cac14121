#include "model/store/manifest.h"

#include <gtest/gtest.h>

#include <string>

#include "common/files.h"
#include "model/bounded_json.h"

namespace potluck::model {
namespace {

std::string SourceFile(const std::string& name) { return POTLUCK_SOURCE_DIR "/tests/" + name; }

TEST(Blob, IsWhatHashlibSays) {
  const auto text = ReadFile(SourceFile("golden/manifest/blobs.json"), 1 << 20);
  ASSERT_TRUE(text.ok()) << text.status();
  const auto golden = ParseBoundedJson(*text);
  ASSERT_TRUE(golden.ok()) << golden.status();
  ASSERT_EQ(golden->size(), 7u);
  for (const Json& expected : *golden) {
    std::string bytes(*IntValue(&expected["size"]), '\0');
    for (size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<char>(static_cast<uint32_t>(i * 2654435761u) >> 24);
    }
    const Blob blob = BlobOf(std::as_bytes(std::span(bytes)));
    EXPECT_EQ(blob.id.ToHex(), *StringValue(&expected["id"]));
    EXPECT_EQ(blob.size_bytes, bytes.size());
    ASSERT_EQ(blob.chunks.size(), expected["chunks"].size());
    for (size_t i = 0; i < blob.chunks.size(); ++i) {
      EXPECT_EQ(blob.chunks[i].ToHex(), *StringValue(&expected["chunks"][i]));
    }
    bytes.back() = static_cast<char>(bytes.back() ^ 1);
    EXPECT_NE(BlobOf(std::as_bytes(std::span(bytes))).id, blob.id);
  }
}

class ManifestTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto text = ReadFile(SourceFile("fuzz/manifest/corpus/gguf.json"), 1 << 20);
    ASSERT_TRUE(text.ok()) << text.status();
    text_ = *text;
    json_ = *ParseBoundedJson(text_);
  }
  void ExpectRefused(const Json& json, const char* about) {
    const auto manifest = ParseManifest(json.dump());
    EXPECT_FALSE(manifest.ok()) << about;
    if (manifest.ok()) return;
    EXPECT_EQ(manifest.status().message().find('\n'), absl::string_view::npos);
    EXPECT_NE(manifest.status().message().find(about), absl::string_view::npos)
        << manifest.status();
  }

  std::string text_;
  Json json_;
};

TEST_F(ManifestTest, ReadsAndWritesItsOneSerialisation) {
  const auto manifest = ParseManifest(text_);
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(SerializeManifest(*manifest), text_);
  EXPECT_EQ(manifest->tensors[1].blobs.size(), 2u);
  EXPECT_EQ(manifest->tensors[1].dtype, kernels::DType::kQ8_0);
  // The same model in other words has no second address.
  for (const std::string& other :
       {json_.dump(1), text_ + "\n", " " + text_, "\xEF\xBB\xBF" + text_}) {
    EXPECT_FALSE(ParseManifest(other).ok()) << other.substr(0, 80);
  }
  for (size_t end = 0; end < text_.size(); ++end) {
    EXPECT_FALSE(ParseManifest(text_.substr(0, end)).ok()) << end;
  }
  EXPECT_FALSE(ParseManifest(std::string(kMaxManifestBytes + 1, ' ')).ok());
  EXPECT_FALSE(ParseManifest(std::string(100000, '[')).ok());
}

TEST_F(ManifestTest, RefusesWhatDoesNotAgree) {
  const auto with = [&](const char* pointer, const Json& value) {
    Json changed = json_;
    changed[Json::json_pointer(pointer)] = value;
    return changed;
  };
  const Json blob = json_["documents"][0]["blob"];
  ExpectRefused(with("/version", 2), "update it here");
  ExpectRefused(with("/version", 0), "one serialisation");
  ExpectRefused(with("/name", ""), "name");
  ExpectRefused(with("/name", "a\nb"), "name");
  ExpectRefused(with("/name", std::string(256, 'x')), "name");
  ExpectRefused(with("/name", 7), "name");
  ExpectRefused(with("/format", "ONNX"), "format");
  ExpectRefused(with("/more", 1), "other keys");
  ExpectRefused(with("/documents", Json::array()), "no documents");
  ExpectRefused(with("/documents", Json::object()), "no list");
  ExpectRefused(with("/documents/0/name", "header-00002"), "out of order");
  ExpectRefused(with("/documents/0/name", "../../.bashrc"), "none of a GGUF v3 model's");
  ExpectRefused(with("/documents/0/name", "config.json"), "none of a GGUF v3 model's");
  ExpectRefused(with("/documents/0/blob/size", 0), "impossible size");
  ExpectRefused(with("/documents/0/blob/size", -1), "impossible size");
  ExpectRefused(with("/documents/0/blob/size", 1.0), "impossible size");
  ExpectRefused(with("/documents/0/blob/size", uint64_t{1} << 63), "impossible size");
  ExpectRefused(with("/documents/0/blob/size", int64_t{1} << 50), "without its");
  ExpectRefused(with("/documents/0/blob/size", kChunkBytes + 1), "without its 2 chunks");
  ExpectRefused(with("/documents/0/blob/chunks/0", "xyz"), "digest");
  ExpectRefused(with("/documents/0/blob/chunks/0", std::string(64, 'A')), "digest");
  ExpectRefused(with("/documents/0/blob/chunks", Json::array()), "without its 1 chunks");
  ExpectRefused(with("/tensors/0/type", "q9_9"), "no type");
  ExpectRefused(with("/tensors/0/type", "i32"), "no type");
  ExpectRefused(with("/tensors/0/type", "f16"), "384 bytes where its shape asks for 192");
  ExpectRefused(with("/tensors/0/shape", Json::array()), "shape");
  ExpectRefused(with("/tensors/0/shape", Json::array({1, 1, 1, 3, 32})), "shape");
  ExpectRefused(with("/tensors/0/shape/0", 0), "impossible size");
  ExpectRefused(with("/tensors/0/shape/0", -3), "impossible size");
  ExpectRefused(with("/tensors/0/shape", Json::array({1 << 30, 1 << 30, 1 << 30})), "does not go");
  ExpectRefused(with("/tensors/1/shape/2", 33), "does not go");
  ExpectRefused(with("/tensors/1/shape/0", 3), "neither one blob nor one for each expert");
  ExpectRefused(with("/tensors/1/blobs", Json::array({blob})), "100 bytes where");
  ExpectRefused(with("/tensors/1/blobs", Json::array()), "neither one blob");
  ExpectRefused(with("/tensors/1/name", "token_embd.weight"), "there twice");
  ExpectRefused(Json::array(), "object");
}

TEST_F(ManifestTest, BoundsTheDocuments) {
  Json huge = json_;
  const uint64_t size = kMaxDocumentBytes + 1;
  huge["documents"][0]["blob"]["size"] = size;
  huge["documents"][0]["blob"]["chunks"] =
      Json(std::vector<std::string>(NumChunks(size), std::string(64, '0')));
  ExpectRefused(huge, "its documents have more than");
}

}  // namespace
}  // namespace potluck::model
