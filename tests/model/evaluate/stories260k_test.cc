// A real, trained model: perplexity and greedy text against llama.cpp's (tests/golden/stories260k).
// The model and the text lie outside of the project; without them the tests are skipped.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/time/time.h"
#include "common/files.h"
#include "kernels/devices.h"
#include "model/evaluate/perplexity.h"
#include "model/generation/generator.h"
#include "model/generation/local_model.h"
#include "tests/testing/fake_clock.h"

namespace potluck::model {
namespace {

using nlohmann::json;

const std::string kShared = POTLUCK_SOURCE_DIR "/../shared/data/";
const std::string kModel = kShared + "models/stories260k/stories260k-f32.gguf";

const std::map<std::string, kernels::DType> kKvTypes = {{"f16", kernels::DType::kF16},
                                                        {"f32", kernels::DType::kF32}};

class Stories260kTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kModel)) GTEST_SKIP() << "no " << kModel;
    golden_ = json::parse(
        *ReadFile(POTLUCK_SOURCE_DIR "/tests/golden/stories260k/expected.json", 1 << 24));
  }

  static std::unique_ptr<LocalModel> Load(int64_t context_length, const std::string& kv_type) {
    auto model = LocalModel::Load(
        kModel, *kernels::OpenDevice({.num_threads = 2}),
        {.context_length = context_length, .kv_dtype = kKvTypes.at(kv_type), .max_outputs = 64});
    EXPECT_TRUE(model.ok()) << model.status();
    return model.ok() ? *std::move(model) : nullptr;
  }

  json golden_;
};

TEST_F(Stories260kTest, HasLlamaCppsPerplexity) {
  std::string text =
      *ReadFile(kShared + "text/" + golden_["text"]["file"].get<std::string>(), 1 << 24);
  text = text.substr(golden_["text"]["first_byte"], golden_["text"]["bytes"]);
  for (const json& expected : golden_["perplexity"]) {
    const int64_t context_length = expected["ctx"];
    const auto model = Load(context_length, expected["kv"]);
    ASSERT_NE(model, nullptr);
    const auto ids = model->text().EncodeText(text);
    ASSERT_TRUE(ids.ok()) << ids.status();
    EXPECT_EQ(ids->size(), golden_["tokens"].get<size_t>());
    const auto result = MeasurePerplexity(model->stage(), model->tokenizer(), *ids, context_length);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->scored_tokens, expected["scored_tokens"].get<int64_t>());
    const double perplexity = expected["perplexity"];
    EXPECT_NEAR(result->perplexity, perplexity, 0.005 * perplexity) << expected.dump();
  }
}

TEST_F(Stories260kTest, ContinuesInLlamaCppsWords) {
  for (const json& expected : golden_["greedy"]) {
    const auto model = Load(0, expected["kv"]);
    ASSERT_NE(model, nullptr);
    GenerationRequest request;
    request.prompt = *model->text().EncodeText(expected["prompt"].get<std::string>());
    EXPECT_EQ(request.prompt, expected["prompt_ids"].get<std::vector<TokenId>>());
    request.sampling.temperature = 0;
    request.max_tokens = static_cast<int64_t>(expected["ids"].size());
    FakeClock clock;
    const auto generation = Generator(model->stage(), model->tokenizer(), clock).Generate(request);
    ASSERT_TRUE(generation.ok()) << generation.status();
    EXPECT_EQ(generation->ids, expected["ids"].get<std::vector<TokenId>>()) << expected["prompt"];
  }
}

}  // namespace
}  // namespace potluck::model
