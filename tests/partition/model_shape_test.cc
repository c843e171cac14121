// A model's shape against what the decoder itself says of the same files.
#include "partition/model_shape.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "model/decoder/decoder_stage.h"
#include "model/model_file.h"
#include "partition/stage_memory.h"

namespace potluck::partition {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> Models() {
  std::vector<std::string> paths;
  const fs::path root = fs::path(POTLUCK_SOURCE_DIR) / "tests" / "golden" / "architectures";
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root)) {
    if (entry.path().extension() == ".gguf") paths.push_back(entry.path());
  }
  paths.push_back(fs::path(POTLUCK_SOURCE_DIR) / "deploy/demo/potluck-demo-1m-q8_0.gguf");
  std::ranges::sort(paths);
  return paths;
}

class ModelShapeTest : public testing::TestWithParam<std::string> {};

// Weights and KV to the byte, activations never less and not much more, for every stage that may
// be.
TEST_P(ModelShapeTest, TakesWhatTheDecoderTakes) {
  const absl::StatusOr<model::ModelFile> file = model::OpenModelFile(GetParam());
  ASSERT_TRUE(file.ok()) << file.status().message();
  ASSERT_TRUE(file->config.ok()) << file->config.status().message();
  const model::ModelConfig& config = *file->config;
  const absl::StatusOr<ModelShape> shape = MakeModelShape(file->name, config, *file->weights);
  ASSERT_TRUE(shape.ok()) << shape.status().message();
  EXPECT_TRUE(CheckModelShape(*shape).ok());
  InstanceWish wish{.model = *shape, .context_length = 100, .parallel = 3};
  wish.kv_dtype = config.head_dim % 32 == 0 ? kernels::DType::kQ8_0 : kernels::DType::kF16;
  for (const int64_t step_tokens : {64, 512}) {
    wish.max_step_tokens = step_tokens;
    const StageMemory memory(wish);
    for (int64_t first = 0; first < config.num_layers; ++first) {
      for (int64_t end = first + 1; end <= config.num_layers; ++end) {
        // As coordinator and worker make them: a windowed model has no sequences to spare.
        const bool windowed = std::ranges::any_of(
            shape->layers, [](const LayerShape& layer) { return layer.window > 0; });
        const absl::StatusOr<model::StageMemory> taken =
            model::DecoderStage::MemoryFor(config, *file->weights,
                                           {.range = {2 * first, 2 * end},
                                            .context_length = 100,
                                            .kv = {.dtype = wish.kv_dtype,
                                                   .capacity = KvCapacity(100, 3),
                                                   .max_sequences = windowed ? 4 : 256,
                                                   .max_step_tokens = step_tokens,
                                                   .spare_blocks = kSpareKvBlocks},
                                            .max_tokens = step_tokens,
                                            .max_outputs = 32});
        ASSERT_TRUE(taken.ok()) << taken.status().message();
        const StageBytes bytes = memory.Of(first, end);
        EXPECT_EQ(bytes.weights, taken->weight_bytes) << first << " to " << end;
        EXPECT_EQ(bytes.kv, taken->kv_bytes) << first << " to " << end;
        // Slots are rounded up to 64 bytes each.
        EXPECT_GE(bytes.activations + 2048, taken->activation_bytes) << first << " to " << end;
        EXPECT_LE(bytes.activations, 2 * taken->activation_bytes + 4096) << first << " to " << end;
      }
    }
  }
}

TEST_P(ModelShapeTest, CountsTheOperationsOfEveryWeight) {
  const absl::StatusOr<model::ModelFile> file = model::OpenModelFile(GetParam());
  ASSERT_TRUE(file.ok() && file->config.ok());
  const model::ModelConfig& config = *file->config;
  const absl::StatusOr<ModelShape> shape = MakeModelShape(file->name, config, *file->weights);
  ASSERT_TRUE(shape.ok());
  // Attention's four matrices, and three of the FFN (of each used expert, and the router).
  const auto d = static_cast<double>(config.model_dim);
  const double heads = static_cast<double>(config.num_heads * config.head_dim);
  const double kv = static_cast<double>(config.num_kv_heads * config.head_dim);
  double ffn = 3 * d * static_cast<double>(config.ffn_dim);
  if (config.experts.num_experts > 0) {
    ffn = 3 * d * static_cast<double>(config.experts.expert_ffn_dim) *
              config.experts.num_experts_used +
          d * config.experts.num_experts;
  }
  for (const LayerShape& layer : shape->layers) {
    double operations = 0;
    for (const WeightWork& work : layer.weights) operations += work.operations_per_token;
    EXPECT_DOUBLE_EQ(operations, 2 * (2 * d * heads + 2 * d * kv + ffn));
    EXPECT_EQ(layer.kv_values, 2 * config.num_kv_heads * config.head_dim);
  }
  EXPECT_DOUBLE_EQ(shape->head.operations_per_token,
                   2 * d * static_cast<double>(config.vocab_size));
}

INSTANTIATE_TEST_SUITE_P(Files, ModelShapeTest, testing::ValuesIn(Models()),
                         [](const testing::TestParamInfo<std::string>& file) {
                           const fs::path path(file.param);
                           std::string name =
                               path.parent_path().filename().string() + "_" + path.stem().string();
                           std::ranges::replace_if(
                               name, [](char c) { return !std::isalnum(c); }, '_');
                           return name;
                         });

TEST(ModelShapeErrorTest, AFileThatLacksATensorIsNamed) {
  const absl::StatusOr<model::ModelFile> file = model::OpenModelFile(
      std::string(POTLUCK_SOURCE_DIR) + "/deploy/demo/potluck-demo-1m-q8_0.gguf");
  ASSERT_TRUE(file.ok() && file->config.ok());
  model::ModelConfig config = *file->config;
  config.layers.push_back(config.layers.back());
  ++config.num_layers;
  EXPECT_THAT(std::string(MakeModelShape("x", config, *file->weights).status().message()),
              testing::HasSubstr("blk."));
}

}  // namespace
}  // namespace potluck::partition
