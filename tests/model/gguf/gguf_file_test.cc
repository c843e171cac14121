#include "model/gguf/gguf_file.h"

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/model/gguf/gguf_builder.h"

namespace potluck::model {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class GgufFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "/" +
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& bytes) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }

  void ExpectError(const std::string& path, const std::string& message) {
    const auto file = GgufFile::Open(path);
    ASSERT_FALSE(file.ok()) << "expected: " << message;
    EXPECT_THAT(std::string(file.status().message()), HasSubstr(message));
    EXPECT_THAT(std::string(file.status().message()), HasSubstr(folder_));
  }

  std::string folder_;
};

float FirstFloat(const WeightTensor& tensor) {
  float value;
  std::memcpy(&value, tensor.bytes.data(), sizeof(value));
  return value;
}

TEST_F(GgufFileTest, ServesWeights) {
  const auto file =
      GgufFile::Open(Write("a.gguf", SmallLlama().Floats("token_embd.weight", {3, 32}).Build()));
  ASSERT_TRUE(file.ok()) << file.status();
  const WeightTensor* tensor = (*file)->Find("token_embd.weight");
  ASSERT_NE(tensor, nullptr);
  EXPECT_THAT(tensor->shape, ElementsAre(3, 32));
  EXPECT_EQ(tensor->bytes.size(), 3u * 32 * 4);
  EXPECT_EQ((*file)->Find("none"), nullptr);
  EXPECT_EQ((*file)->Get("none").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(GgufFileTest, NamesTensorAndTypeThatItCannotCompute) {
  const auto file = GgufFile::Open(
      Write("a.gguf", SmallLlama().Tensor("x.weight", {256}, 34, std::string(54, 'x')).Build()));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->listed().size(), 1u);
  EXPECT_EQ((*file)->Find("x.weight"), nullptr);
  const auto tensor = (*file)->Get("x.weight");
  EXPECT_EQ(tensor.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(tensor.status().message()),
              HasSubstr("x.weight is stored as tq1_0; supported are f32"));
}

TEST_F(GgufFileTest, NamesThePathInErrors) {
  ExpectError(folder_ + "/none.gguf", "No such file");
  ExpectError(folder_, "is a folder");
  ExpectError(Write("text.gguf", "hello, world"), "not a GGUF file");
  ExpectError(Write("empty.gguf", ""), "the file ends in the magic");
}

// Row r of a matrix of `columns` floats begins with r * columns.
TEST_F(GgufFileTest, SplitsFusedTensors) {
  const auto file = GgufFile::Open(Write("a.gguf", SmallLlama()
                                                       .Floats("blk.0.attn_qkv.weight", {64, 32})
                                                       .Floats("blk.0.attn_qkv.bias", {64})
                                                       .Floats("blk.0.ffn_up.weight", {128, 32})
                                                       .Floats("blk.1.ffn_up.weight", {128, 32})
                                                       .Floats("blk.1.ffn_gate.weight", {64, 32})
                                                       .Build()));
  ASSERT_TRUE(file.ok()) << file.status();
  const auto expect = [&](const char* name, std::vector<int64_t> shape, float first) {
    const WeightTensor* tensor = (*file)->Find(name);
    ASSERT_NE(tensor, nullptr) << name;
    EXPECT_EQ(tensor->shape, shape) << name;
    EXPECT_EQ(FirstFloat(*tensor), first) << name;
    EXPECT_EQ(tensor->bytes.size(), static_cast<size_t>(shape[0] * (shape.size() > 1 ? 128 : 4)));
  };
  // 4 heads and 2 KV heads of 8.
  expect("blk.0.attn_q.weight", {32, 32}, 0);
  expect("blk.0.attn_k.weight", {16, 32}, 32 * 32);
  expect("blk.0.attn_v.weight", {16, 32}, 48 * 32);
  expect("blk.0.attn_q.bias", {32}, 0);
  expect("blk.0.attn_k.bias", {16}, 32);
  expect("blk.0.attn_v.bias", {16}, 48);
  expect("blk.0.ffn_gate.weight", {64, 32}, 0);
  expect("blk.0.ffn_up.weight", {64, 32}, 64 * 32);
  EXPECT_EQ((*file)->Find("blk.0.attn_qkv.weight"), nullptr);
  // With a gate of its own, "up" is what it says, whatever its shape.
  expect("blk.1.ffn_up.weight", {128, 32}, 0);
  uint64_t bytes = 0;
  for (const WeightTensor& tensor : (*file)->tensors()) bytes += tensor.bytes.size();
  uint64_t stored = 0;
  for (const GgufTensor& tensor : (*file)->listed()) stored += tensor.info.size_bytes;
  EXPECT_EQ(bytes, stored);
}

TEST_F(GgufFileTest, StacksExperts) {
  GgufBuilder builder = SmallLlama();
  builder.U32("llama.expert_count", 2).U32("llama.expert_used_count", 1);
  builder.Floats("blk.0.ffn_gate.0.weight", {64, 32})
      .Floats("blk.0.ffn_down.weight", {32, 64})
      .Floats("blk.0.ffn_gate.1.weight", {64, 32})
      .Floats("blk.0.ffn_up.0.weight", {64, 32})
      .Floats("blk.1.ffn_gate_up_exps.weight", {2, 128, 32});
  const auto file = GgufFile::Open(Write("a.gguf", builder.Build()));
  ASSERT_TRUE(file.ok()) << file.status();
  const WeightTensor* gate = (*file)->Find("blk.0.ffn_gate_exps.weight");
  ASSERT_NE(gate, nullptr);
  EXPECT_THAT(gate->shape, ElementsAre(2, 64, 32));
  EXPECT_TRUE(gate->bytes.empty());
  ASSERT_EQ(gate->experts.size(), 2u);
  EXPECT_EQ(gate->experts[1].bytes.size(), 64u * 32 * 4);
  EXPECT_EQ((*file)->Find("blk.0.ffn_up_exps.weight"), nullptr) << "an expert is missing";
  const WeightTensor* up = (*file)->Find("blk.1.ffn_up_exps.weight");
  ASSERT_NE(up, nullptr);
  ASSERT_EQ(up->experts.size(), 2u);
  float first;
  std::memcpy(&first, up->experts[1].bytes.data(), sizeof(first));
  EXPECT_EQ(first, (128 + 64) * 32);
}

class SplitGgufTest : public GgufFileTest {
 protected:
  static GgufBuilder Part(uint32_t number, uint32_t count, uint32_t tensors) {
    GgufBuilder builder = number == 0 ? SmallLlama() : GgufBuilder();
    builder.U32("split.no", number).U32("split.count", count);
    builder.U32("split.tensors.count", tensors);
    return builder;
  }
};

TEST_F(SplitGgufTest, OpensAllPartsFromAnyOfThem) {
  const std::string first = Write("m-00001-of-00003.gguf", Part(0, 3, 2).Build());
  Write("m-00002-of-00003.gguf", Part(1, 3, 2).Floats("a.weight", {4}).Build());
  const std::string last =
      Write("m-00003-of-00003.gguf", Part(2, 3, 2).Floats("b.weight", {4}).Build());
  for (const std::string& path : {first, last}) {
    const auto file = GgufFile::Open(path);
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ((*file)->num_files(), 3);
    EXPECT_EQ((*file)->path(), first);
    EXPECT_EQ((*file)->metadata().String("general.name").value(), "small");
    EXPECT_NE((*file)->Find("a.weight"), nullptr);
    EXPECT_EQ((*file)->Find("b.weight")->file->path(), last);
  }
}

TEST_F(SplitGgufTest, RefusesPartsThatDoNotFit) {
  const std::string first = Write("m-00001-of-00002.gguf", Part(0, 2, 1).Build());
  ExpectError(first, "m-00002-of-00002.gguf");
  Write("m-00002-of-00002.gguf", Part(0, 2, 1).Floats("a.weight", {4}).Build());
  ExpectError(first, "split.no is 0 where the 2 parts together make 1");
  Write("m-00002-of-00002.gguf", Part(1, 3, 1).Floats("a.weight", {4}).Build());
  ExpectError(first, "split.count is 3");
  Write("m-00002-of-00002.gguf", Part(1, 2, 1).Build());
  ExpectError(first, "split.tensors.count is 1 where the 2 parts together make 0");
  Write("m-00002-of-00002.gguf", SmallLlama().Floats("a.weight", {4}).Build());
  ExpectError(first, "\"split.no\" is missing");
  Write("m-00001-of-00002.gguf", Part(0, 2, 2).Floats("a.weight", {4}).Build());
  Write("m-00002-of-00002.gguf", Part(1, 2, 2).Floats("a.weight", {4}).Build());
  ExpectError(first, "tensor a.weight is in another part");
  ExpectError(Write("renamed.gguf", Part(0, 2, 1).Build()), "give it its name back");
  ExpectError(Write("m-00001-of-00007.gguf", Part(0, 60000, 1).Build()), "one of 60000 parts");
  ExpectError(Write("x.gguf", SmallLlama().Text("split.count", "2").Build()), "\"split.count\"");
}

TEST(SharedData, StoriesOpens) {
  const std::string path =
      POTLUCK_SOURCE_DIR "/../shared/data/models/stories260k/stories260k-f32.gguf";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not here";
  const auto file = GgufFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->tensors().size(), 48u);
  EXPECT_THAT((*file)->Find("token_embd.weight")->shape, ElementsAre(512, 64));
  EXPECT_THAT((*file)->Find("blk.4.ffn_down.weight")->shape, ElementsAre(64, 172));
}

}  // namespace
}  // namespace potluck::model
