// What loading and running a model takes of this machine's memory, against what the stage says it
// takes and against the promise: below 1.15 times the file, the KV cache and a constant.
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "kernels/cpu/cpu_backend.h"
#include "model/decoder/decoder_stage.h"
#include "model/model_file.h"
#include "tests/testing/model_runner.h"

namespace potluck::model {
namespace {

constexpr int64_t kMiB = 1 << 20;

// The most memory that this process has had at once, mapped pages of files included.
int64_t PeakBytes() {
  std::ifstream status("/proc/self/status");
  std::string word;
  int64_t kib = 0;
  while (status >> word) {
    if (word == "VmHWM:" && status >> kib) return kib * 1024;
  }
  return 0;
}

TEST(PeakMemoryTest, IsWhatTheStageSaysAndLittleMore) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's own memory counts too";
#endif
  const std::string path = POTLUCK_SOURCE_DIR "/deploy/demo/potluck-demo-4m-q8_0.gguf";
  const auto file = OpenModelFile(path);
  ASSERT_TRUE(file.ok() && file->config.ok()) << file.status();
  const auto backend = kernels::CpuBackend::Create({.num_threads = 1});
  ASSERT_TRUE(backend.ok()) << backend.status();
  StageOptions options{.range = StageRange::Whole(*file->config),
                       .context_length = 4096,
                       .kv = {.dtype = kernels::DType::kF32, .capacity = 16384},
                       .max_tokens = 256,
                       .max_outputs = 256};
  const auto promised = DecoderStage::MemoryFor(*file->config, *file->weights, options);
  ASSERT_TRUE(promised.ok()) << promised.status();

  const int64_t before = PeakBytes();
  const auto stage = DecoderStage::Load(*file->config, *file->weights, **backend, options);
  ASSERT_TRUE(stage.ok()) << stage.status();
  const StageMemory memory = (*stage)->memory();
  EXPECT_EQ(memory.kv_bytes, promised->kv_bytes);
  EXPECT_EQ(memory.weight_bytes, promised->weight_bytes);
  EXPECT_EQ(memory.activation_bytes, promised->activation_bytes);
  EXPECT_GE(memory.weight_bytes, static_cast<int64_t>(file->tensor_bytes) * 9 / 10);
  EXPECT_GE(memory.kv_bytes, 16 * kMiB) << "too small to be seen";

  const std::vector<TokenId> text(1024, 7);
  ASSERT_TRUE((*stage)->kv().Begin(1, {}).ok());
  const auto logits = RunTokens(**stage, 1, text, 256);
  ASSERT_TRUE(logits.ok()) << logits.status();
  const auto logits_bytes = static_cast<int64_t>(2 * logits->capacity() * sizeof(float));
  const int64_t grown = PeakBytes() - before - logits_bytes;
  RecordProperty("grown_bytes", std::to_string(grown));
  EXPECT_LT(grown, memory.total() + 16 * kMiB);
  EXPECT_LT(grown, static_cast<int64_t>(1.15 * static_cast<double>(file->tensor_bytes)) +
                       memory.kv_bytes + 200 * kMiB);
}

}  // namespace
}  // namespace potluck::model
