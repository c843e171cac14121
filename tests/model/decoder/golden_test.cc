// The logits of tiny random models, one per architecture and file kind and one per tensor type,
// against Hugging Face transformers and llama.cpp (tests/golden/README.md says which and how they
// were made).
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/files.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/reference/reference_backend.h"
#include "model/decoder/decoder_stage.h"
#include "model/model_file.h"
#include "tests/testing/model_runner.h"

namespace potluck::model {
namespace {

using nlohmann::json;

const std::string kGolden = POTLUCK_SOURCE_DIR "/tests/golden/";

json ReadJson(const std::string& path) { return json::parse(*ReadFile(path, 64 << 20)); }

std::vector<float> ReadFloats(const std::string& path) {
  const std::string bytes = *ReadFile(path, 64 << 20);
  std::vector<float> floats(bytes.size() / sizeof(float));
  std::memcpy(floats.data(), bytes.data(), bytes.size());
  return floats;
}

// All logits of the prompt, computed in chunks of odd sizes.
std::vector<float> LogitsOf(const std::string& path, const std::vector<TokenId>& prompt,
                            int64_t context_length, kernels::Backend& backend,
                            kernels::Precision precision) {
  const auto file = OpenModelFile(path);
  if (!file.ok() || !file->config.ok()) {
    ADD_FAILURE() << path << ": " << file.status() << " "
                  << (file.ok() ? file->config.status() : file.status());
    return {};
  }
  auto stage =
      DecoderStage::Load(*file->config, *file->weights, backend,
                         {.range = StageRange::Whole(*file->config),
                          .context_length = context_length,
                          .kv = {.dtype = kernels::DType::kF32, .capacity = context_length},
                          .max_tokens = 19,
                          .max_outputs = 19,
                          .precision = precision});
  if (!stage.ok()) {
    ADD_FAILURE() << path << ": " << stage.status();
    return {};
  }
  EXPECT_EQ(*(*stage)->kv().Begin(1, prompt), 0);
  const auto logits = RunTokens(**stage, 1, prompt, 19);
  EXPECT_TRUE(logits.ok()) << path << ": " << logits.status();
  return logits.ok() ? *logits : std::vector<float>();
}

struct GoldenCase {
  std::string name, path, logits_path;
  std::vector<TokenId> prompt;
  int64_t context_length, first_row, vocab_size;
  double tolerance;
};

void PrintTo(const GoldenCase& golden, std::ostream* out) { *out << golden.name; }

std::vector<GoldenCase> ArchitectureCases() {
  const std::string folder = kGolden + "architectures/";
  std::vector<GoldenCase> cases;
  const json index = ReadJson(folder + "index.json");
  for (const json& model : index["models"]) {
    int number = 0;
    for (const json& one : model["cases"]) {
      for (const json& file : one["files"]) {
        const std::string kind = file.get<std::string>();
        cases.push_back(
            {.name = model["name"].get<std::string>() + "_" + kind + "_" + std::to_string(number),
             .path = folder + model[kind].get<std::string>(),
             .logits_path = folder + one["logits"].get<std::string>(),
             .prompt = one["prompt"].get<std::vector<TokenId>>(),
             .context_length = one["ctx"].get<int64_t>(),
             .first_row = one["first_row"].get<int64_t>(),
             .vocab_size = one["vocab_size"].get<int64_t>(),
             .tolerance = one["tolerance"].get<double>()});
      }
      ++number;
    }
  }
  return cases;
}

class ArchitectureTest : public testing::TestWithParam<GoldenCase> {};

TEST_P(ArchitectureTest, GivesTheOraclesLogits) {
  const GoldenCase& golden = GetParam();
  const std::vector<float> expected = ReadFloats(golden.logits_path);
  kernels::ReferenceBackend reference;
  const std::vector<float> logits = LogitsOf(golden.path, golden.prompt, golden.context_length,
                                             reference, kernels::Precision::kFloat);
  const auto first = static_cast<size_t>(golden.first_row * golden.vocab_size);
  ASSERT_EQ(logits.size(), first + expected.size());
  EXPECT_LT(RelativeError(std::span(logits).subspan(first), expected), golden.tolerance);

  auto cpu = kernels::CpuBackend::Create({.num_threads = 2, .least_shared = absl::Microseconds(1)});
  ASSERT_TRUE(cpu.ok()) << cpu.status();
  EXPECT_EQ(LogitsOf(golden.path, golden.prompt, golden.context_length, **cpu,
                     kernels::Precision::kFloat),
            logits)
      << "the CPU backend's bits are not the reference's";
}

class TensorTypeTest : public testing::TestWithParam<json> {};

TEST_P(TensorTypeTest, GivesTheOraclesLogits) {
  const json& golden = GetParam();
  const std::string folder = kGolden + "tensor_types/";
  const std::string path = folder + golden["gguf"].get<std::string>();
  const auto prompt = golden["prompt"].get<std::vector<TokenId>>();
  auto cpu = kernels::CpuBackend::Create({.num_threads = 2, .least_shared = absl::Microseconds(1)});
  ASSERT_TRUE(cpu.ok()) << cpu.status();
  const auto error = [&](kernels::Precision precision, const char* expected) {
    return RelativeError(LogitsOf(path, prompt, 64, **cpu, precision),
                         ReadFloats(folder + golden[expected].get<std::string>()));
  };
  // transformers computed with the decoded weights in float; llama.cpp quantises activations as we
  // do.
  EXPECT_LT(error(kernels::Precision::kFloat, "exact_logits"), golden["exact_tolerance"]);
  EXPECT_LT(error(kernels::Precision::kInt8, "llama_cpp_logits"), golden["llama_cpp_tolerance"]);
  EXPECT_LT(error(kernels::Precision::kInt8, "exact_logits"), golden["llama_cpp_tolerance"]);
}

std::vector<json> TensorTypeCases() {
  return ReadJson(kGolden + "tensor_types/index.json")["models"].get<std::vector<json>>();
}

INSTANTIATE_TEST_SUITE_P(All, TensorTypeTest, testing::ValuesIn(TensorTypeCases()),
                         [](const auto& golden) {
                           return golden.param["type"].template get<std::string>();
                         });

INSTANTIATE_TEST_SUITE_P(All, ArchitectureTest, testing::ValuesIn(ArchitectureCases()),
                         [](const auto& golden) { return golden.param.name; });

}  // namespace
}  // namespace potluck::model
