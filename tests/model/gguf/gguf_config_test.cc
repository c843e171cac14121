#include "model/gguf/gguf_config.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/gguf/gguf_vocabulary.h"
#include "tests/model/gguf/gguf_builder.h"

namespace potluck::model {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::shared_ptr<GgufFile> OpenBytes(const std::string& bytes) {
  const std::string path = ::testing::TempDir() + "/" +
                           ::testing::UnitTest::GetInstance()->current_test_info()->name() +
                           ".gguf";
  std::ofstream(path, std::ios::binary) << bytes;
  auto file = GgufFile::Open(path);
  EXPECT_TRUE(file.ok()) << file.status();
  std::filesystem::remove(path);
  return *file;
}

// A model of `arch` with the numbers of SmallLlama; `layers` of them.
GgufBuilder Small(const std::string& arch, uint32_t layers = 2, float norm_eps = 1e-5f) {
  GgufBuilder builder;
  builder.Text("general.architecture", arch)
      .U32(arch + ".context_length", 128)
      .U32(arch + ".embedding_length", 32)
      .U32(arch + ".block_count", layers)
      .U32(arch + ".feed_forward_length", 64)
      .U32(arch + ".attention.head_count", 4)
      .U32(arch + ".attention.head_count_kv", 2)
      .F32(arch + ".attention.layer_norm_rms_epsilon", norm_eps)
      .U32(arch + ".vocab_size", 3);
  return builder;
}

ModelConfig Config(const GgufBuilder& builder) {
  const auto config = ConfigFromGguf(*OpenBytes(builder.Build()));
  EXPECT_TRUE(config.ok()) << config.status();
  return config.value_or(ModelConfig());
}

void ExpectError(const GgufBuilder& builder, const std::string& message,
                 absl::StatusCode code = absl::StatusCode::kInvalidArgument) {
  const auto config = ConfigFromGguf(*OpenBytes(builder.Build()));
  ASSERT_FALSE(config.ok()) << "expected: " << message;
  EXPECT_EQ(config.status().code(), code) << config.status();
  EXPECT_THAT(std::string(config.status().message()), HasSubstr(message));
}

std::vector<bool> Windows(const ModelConfig& config) {
  std::vector<bool> windows;
  for (const LayerConfig& layer : config.layers) {
    windows.push_back(layer.attention == AttentionKind::kWindow);
  }
  return windows;
}

TEST(GgufConfig, Llama) {
  const ModelConfig config = Config(SmallLlama());
  EXPECT_EQ(config.architecture, "llama");
  EXPECT_EQ(config.name, "small");
  EXPECT_EQ(config.num_layers, 2);
  EXPECT_EQ(config.model_dim, 32);
  EXPECT_EQ(config.ffn_dim, 64);
  EXPECT_EQ(config.num_heads, 4);
  EXPECT_EQ(config.num_kv_heads, 2);
  EXPECT_EQ(config.head_dim, 8);
  EXPECT_EQ(config.rope_dims, 8);
  EXPECT_EQ(config.vocab_size, 3);
  EXPECT_EQ(config.context_length, 128);
  EXPECT_FLOAT_EQ(config.norm_eps, 1e-5f);
  EXPECT_EQ(config.rope_style, RopeStyle::kAdjacentPairs);
  EXPECT_EQ(config.activation, Activation::kSilu);
  EXPECT_FLOAT_EQ(config.attention_scale, 1 / std::sqrt(8.0f));
  EXPECT_FALSE(config.norm_adds_one);
  EXPECT_FALSE(config.qk_norm);
  EXPECT_FALSE(config.attention_bias);
  EXPECT_TRUE(config.tied_embeddings);
  EXPECT_FLOAT_EQ(config.layers[0].rope_theta, 10000);
  EXPECT_EQ(config.rope_scaling.kind, RopeScalingKind::kNone);
}

TEST(GgufConfig, TensorsDecideWhatTheyShow) {
  const ModelConfig config = Config(Small("qwen2")
                                        .F32("qwen2.rope.freq_base", 1e6f)
                                        .Floats("token_embd.weight", {5, 32})
                                        .Floats("output.weight", {5, 32})
                                        .Floats("blk.0.attn_q.bias", {32}));
  EXPECT_EQ(config.vocab_size, 5) << "rows beat the key";
  EXPECT_FALSE(config.tied_embeddings);
  EXPECT_TRUE(config.attention_bias);
  EXPECT_EQ(config.rope_style, RopeStyle::kHalfSplit);
  EXPECT_FLOAT_EQ(config.layers[1].rope_theta, 1e6f);
}

TEST(GgufConfig, MistralKeepsItsWindow) {
  const ModelConfig config = Config(SmallLlama().U32("llama.attention.sliding_window", 16));
  EXPECT_EQ(config.window, 16);
  EXPECT_THAT(Windows(config), ElementsAre(true, true));
}

TEST(GgufConfig, Gemma) {
  const ModelConfig config = Config(
      Small("gemma").U32("gemma.attention.key_length", 16).U32("gemma.attention.value_length", 16));
  EXPECT_EQ(config.head_dim, 16);
  EXPECT_FLOAT_EQ(config.embedding_scale, std::sqrt(32.0f));
  EXPECT_EQ(config.activation, Activation::kGeluTanh);
  EXPECT_FALSE(config.norm_adds_one) << "GGUF stores 1 + g";
  EXPECT_TRUE(config.tied_embeddings);
  EXPECT_FALSE(config.post_norms);
}

TEST(GgufConfig, Gemma2) {
  const ModelConfig config = Config(Small("gemma2", 4));
  EXPECT_THAT(Windows(config), ElementsAre(true, false, true, false));
  EXPECT_EQ(config.window, 4096);
  EXPECT_TRUE(config.post_norms);
  EXPECT_EQ(config.attention_softcap, 50);
  EXPECT_EQ(config.logit_softcap, 30);
  EXPECT_FLOAT_EQ(config.attention_scale, 1 / std::sqrt(8.0f));
  // The 27b scales by model_dim / num_heads, although its heads are of another size.
  const ModelConfig large = Config(Small("gemma2", 46)
                                       .U32("gemma2.attention.key_length", 32)
                                       .U32("gemma2.attention.value_length", 32));
  EXPECT_FLOAT_EQ(large.attention_scale, 1 / std::sqrt(8.0f));
}

TEST(GgufConfig, Gemma3) {
  const ModelConfig config = Config(Small("gemma3", 7)
                                        .U32("gemma3.attention.sliding_window", 16)
                                        .F32("gemma3.rope.freq_base", 1e6f)
                                        .Text("gemma3.rope.scaling.type", "linear")
                                        .F32("gemma3.rope.scaling.factor", 8));
  EXPECT_THAT(Windows(config), ElementsAre(true, true, true, true, true, false, true));
  EXPECT_FLOAT_EQ(config.layers[0].rope_theta, 10000);
  EXPECT_FLOAT_EQ(config.layers[5].rope_theta, 1e6f);
  EXPECT_EQ(config.rope_scaling.kind, RopeScalingKind::kLinear);
  EXPECT_FALSE(config.layers[0].scale_rope);
  EXPECT_TRUE(config.layers[5].scale_rope);
  EXPECT_TRUE(config.qk_norm);
  EXPECT_TRUE(config.post_norms);
  EXPECT_EQ(config.logit_softcap, 0);
  // A list of layers beats the pattern.
  const ModelConfig listed =
      Config(Small("gemma3")
                 .U32("gemma3.attention.sliding_window", 16)
                 .Array<uint8_t>("gemma3.attention.sliding_window_pattern", 7, {0, 1}));
  EXPECT_THAT(Windows(listed), ElementsAre(false, true));
}

TEST(GgufConfig, Phi3LongRope) {
  const ModelConfig config = Config(Small("phi3")
                                        .U32("phi3.rope.dimension_count", 6)
                                        .U32("phi3.attention.sliding_window", 0)
                                        .U32("phi3.rope.scaling.original_context_length", 32)
                                        .F32("phi3.rope.scaling.attn_factor", 1.19f)
                                        .Floats("rope_factors_long.weight", {3})
                                        .Floats("rope_factors_short.weight", {3}));
  EXPECT_EQ(config.rope_dims, 6);
  EXPECT_EQ(config.rope_scaling.kind, RopeScalingKind::kLongRope);
  EXPECT_EQ(config.rope_scaling.original_context, 32);
  EXPECT_FLOAT_EQ(config.rope_scaling.factor, 4);
  EXPECT_FLOAT_EQ(config.rope_scaling.attention_factor, 1.19f);
  EXPECT_THAT(Windows(config), ElementsAre(false, false));
}

TEST(GgufConfig, GlmFamilies) {
  const ModelConfig chatglm = Config(Small("chatglm").Floats("blk.0.attn_qkv.bias", {64}));
  EXPECT_EQ(chatglm.rope_dims, 4) << "half of the head";
  EXPECT_EQ(chatglm.rope_style, RopeStyle::kAdjacentPairs);
  EXPECT_TRUE(chatglm.attention_bias);
  EXPECT_FALSE(chatglm.post_norms);
  const ModelConfig glm4 = Config(
      Small("glm4", 3).U32("glm4.nextn_predict_layers", 1).U32("glm4.rope.dimension_count", 4));
  EXPECT_EQ(glm4.num_layers, 2) << "the layer that predicts further tokens is none of ours";
  EXPECT_TRUE(glm4.post_norms);
  EXPECT_EQ(glm4.rope_style, RopeStyle::kAdjacentPairs);
}

TEST(GgufConfig, Experts) {
  const ModelConfig mixtral =
      Config(SmallLlama().U32("llama.expert_count", 8).U32("llama.expert_used_count", 2));
  EXPECT_EQ(mixtral.experts.num_experts, 8);
  EXPECT_EQ(mixtral.experts.num_experts_used, 2);
  EXPECT_EQ(mixtral.experts.expert_ffn_dim, 64);
  EXPECT_TRUE(mixtral.experts.normalize_weights);
  const ModelConfig qwen = Config(Small("qwen3moe")
                                      .U32("qwen3moe.expert_count", 8)
                                      .U32("qwen3moe.expert_used_count", 2)
                                      .U32("qwen3moe.expert_feed_forward_length", 24));
  EXPECT_EQ(qwen.experts.expert_ffn_dim, 24);
  EXPECT_TRUE(qwen.qk_norm);
  ExpectError(Small("qwen3moe"), "qwen3moe.expert_count");
  ExpectError(SmallLlama().U32("llama.expert_count", 2).U32("llama.expert_used_count", 3),
              "llama.expert_used_count is 3");
}

TEST(GgufConfig, RopeScaling) {
  const ModelConfig yarn = Config(SmallLlama()
                                      .Text("llama.rope.scaling.type", "yarn")
                                      .F32("llama.rope.scaling.factor", 4)
                                      .U32("llama.rope.scaling.original_context_length", 32));
  EXPECT_EQ(yarn.rope_scaling.kind, RopeScalingKind::kYarn);
  EXPECT_EQ(yarn.rope_scaling.factor, 4);
  EXPECT_EQ(yarn.rope_scaling.attention_factor, 0);
  const ModelConfig old = Config(SmallLlama().F32("llama.rope.scale_linear", 2));
  EXPECT_EQ(old.rope_scaling.kind, RopeScalingKind::kLinear);
  EXPECT_EQ(old.rope_scaling.factor, 2);
  ExpectError(SmallLlama().Text("llama.rope.scaling.type", "wild"), "\"wild\"",
              absl::StatusCode::kUnimplemented);
}

TEST(GgufConfig, NamesArchitecturesThatItRuns) {
  ExpectError(GgufBuilder().Text("general.architecture", "mamba\n"),
              "\"mamba\\x0A\" is not supported; supported are llama, qwen2, qwen3, qwen3moe",
              absl::StatusCode::kUnimplemented);
  ExpectError(GgufBuilder(), "general.architecture", absl::StatusCode::kNotFound);
}

TEST(GgufConfig, RefusesAbsurdNumbers) {
  const auto replaced = [](const std::string& key, uint32_t value) {
    GgufBuilder builder;
    builder.Text("general.architecture", "llama");
    const std::pair<const char*, uint32_t> keys[] = {
        {"context_length", 128},     {"embedding_length", 32},
        {"block_count", 2},          {"feed_forward_length", 64},
        {"attention.head_count", 4}, {"attention.head_count_kv", 2},
        {"vocab_size", 3},           {"rope.dimension_count", 8},
        {"attention.key_length", 8}, {"attention.value_length", 8}};
    for (const auto& [name, usual] : keys) {
      builder.U32(std::string("llama.") + name, name == key ? value : usual);
    }
    return builder.F32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  };
  ASSERT_EQ(Config(replaced("", 0)).num_layers, 2);
  for (const char* key :
       {"context_length", "embedding_length", "block_count", "feed_forward_length",
        "attention.head_count", "attention.head_count_kv", "vocab_size", "attention.key_length"}) {
    ExpectError(replaced(key, 0), std::string("llama.") + key + " is 0");
    if (std::string(key) == "context_length") continue;
    ExpectError(replaced(key, 0xFFFFFFFF), std::string("llama.") + key);
  }
  ExpectError(replaced("block_count", 1u << 31), "llama.block_count is 2147483648");
  ExpectError(replaced("attention.head_count_kv", 3), "doesn't divide the 4 heads");
  ExpectError(replaced("rope.dimension_count", 7), "llama.rope.dimension_count");
  ExpectError(replaced("rope.dimension_count", 10), "llama.rope.dimension_count");
  ExpectError(replaced("rope.dimension_count", 0), "llama.rope.dimension_count");
  ExpectError(replaced("attention.value_length", 4), "llama.attention.value_length",
              absl::StatusCode::kUnimplemented);
  ExpectError(SmallLlama().F32("llama.rope.freq_base", std::nanf("")), "llama.rope.freq_base");
  ExpectError(SmallLlama().F32("llama.rope.freq_base", -1), "llama.rope.freq_base");
  for (const float eps : {std::nanf(""), 0.0f, -1.0f, std::numeric_limits<float>::infinity()}) {
    ExpectError(Small("qwen2", 2, eps), "qwen2.attention.layer_norm_rms_epsilon");
  }
  ExpectError(SmallLlama().F32("llama.rope.scaling.factor", -2), "llama.rope.scaling");
  GgufBuilder text = SmallLlama();
  ExpectError(text.Text("llama.rope.dimension_count", "8"), "is not an integer but string");
}

TEST(GgufConfig, LayersMustBeAlike) {
  GgufBuilder same = Small("qwen2");
  EXPECT_EQ(Config(same.Array<uint32_t>("qwen2.rope.dimension_count", 4, {8, 8})).rope_dims, 8);
  ExpectError(Small("qwen2").Array<uint32_t>("qwen2.rope.dimension_count", 4, {8, 4}),
              "differs from layer to layer", absl::StatusCode::kUnimplemented);
  ExpectError(Small("qwen2").Array<uint32_t>("qwen2.rope.dimension_count", 4, {}), "is empty");
}

GgufBuilder SmallVocabulary() {
  GgufBuilder builder;
  builder.Text("general.architecture", "anything")
      .Text("tokenizer.ggml.model", "gpt2")
      .Text("tokenizer.ggml.pre", "qwen2")
      .Texts("tokenizer.ggml.tokens", {"a", "b", "ab", "<end>"})
      .Array<int32_t>("tokenizer.ggml.token_type", 5, {1, 0, 1, 3})
      .Texts("tokenizer.ggml.merges", {"a b", "  b"})
      .U32("tokenizer.ggml.eos_token_id", 3)
      .U32("tokenizer.ggml.padding_token_id", 77)
      .U32("tokenizer.ggml.unknown_token_id", 0xFFFFFFFF)
      .Bool("tokenizer.ggml.add_bos_token", false);
  return builder;
}

TEST(GgufVocabulary, Reads) {
  const auto file = OpenBytes(SmallVocabulary()
                                  .Text("general.name", "Phi 3 mini")
                                  .Text("tokenizer.chat_template", "{{ messages }}")
                                  .F32("general.sampling.temp", 0.6f)
                                  .F32("general.sampling.top_p", 7.0f)
                                  .Add("general.sampling.top_k", 5, Bytes<int32_t>(20))
                                  .Build());
  const auto vocabulary = VocabularyFromGguf(*file);
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
  EXPECT_EQ(vocabulary->kind, TokenizerKind::kByteLevelBpe);
  EXPECT_EQ(vocabulary->pre, "qwen2");
  EXPECT_EQ(vocabulary->model_name, "Phi 3 mini") << "some vocabularies are known by it alone";
  EXPECT_EQ(vocabulary->tokens.size(), 4u);
  EXPECT_EQ(vocabulary->tokens[1].type, TokenType::kNormal);
  EXPECT_EQ(vocabulary->tokens[3].type, TokenType::kControl);
  EXPECT_THAT(vocabulary->merges, ElementsAre(std::pair("a", "b"), std::pair(" ", "b")));
  EXPECT_EQ(vocabulary->eos, 3);
  EXPECT_EQ(vocabulary->padding, std::nullopt) << "beyond the vocabulary";
  EXPECT_EQ(vocabulary->unknown, std::nullopt) << "-1";
  EXPECT_EQ(vocabulary->add_bos, false);
  EXPECT_EQ(vocabulary->add_eos, std::nullopt);
  EXPECT_EQ(ChatTemplateFromGguf(*file), "{{ messages }}");
  const SamplingDefaults defaults = SamplingDefaultsFromGguf(*file);
  EXPECT_EQ(defaults.temperature, 0.6f);
  EXPECT_EQ(defaults.top_p, std::nullopt) << "7 is no probability";
  EXPECT_EQ(defaults.top_k, 20);
  EXPECT_THAT(defaults.end_tokens, ElementsAre(3));
}

TEST(GgufVocabulary, Refuses) {
  const auto expect = [](const GgufBuilder& builder, const std::string& message) {
    const auto vocabulary = VocabularyFromGguf(*OpenBytes(builder.Build()));
    ASSERT_FALSE(vocabulary.ok()) << "expected: " << message;
    EXPECT_THAT(std::string(vocabulary.status().message()), HasSubstr(message));
  };
  expect(GgufBuilder(), "\"tokenizer.ggml.model\" is missing");
  GgufBuilder kind;
  expect(kind.Text("tokenizer.ggml.model", "bert"), "\"bert\"");
  const auto spm = [] {
    GgufBuilder builder;
    builder.Text("tokenizer.ggml.model", "llama");
    return builder;
  };
  expect(spm(), "\"tokenizer.ggml.tokens\" is missing");
  expect(spm().Texts("tokenizer.ggml.tokens", {}), "tokenizer.ggml.tokens is empty");
  expect(spm().U32("tokenizer.ggml.tokens", 3), "is not an array of strings but u32");
  const auto two = [&] { return spm().Texts("tokenizer.ggml.tokens", {"a", "b"}); };
  expect(two().Array<float>("tokenizer.ggml.scores", 6, {1}), "has 1 elements where there are 2");
  expect(two().Array<float>("tokenizer.ggml.scores", 6, {1, std::nanf("")}), "nan for token 1");
  expect(two().Array<int32_t>("tokenizer.ggml.token_type", 5, {1, 7}), "type 7 for token 1");
  expect(two().Array<int32_t>("tokenizer.ggml.token_type", 5, {1, 1, 1}), "has 3 elements");
  expect(two().U32("tokenizer.ggml.eos_token_id", 2), "eos_token_id is 2 where there are 2 tokens");
  expect(two().Text("tokenizer.ggml.add_bos_token", "yes"), "is not a bool");
  GgufBuilder merges;
  merges.Text("tokenizer.ggml.model", "gpt2").Texts("tokenizer.ggml.tokens", {"a"});
  expect(merges, "\"tokenizer.ggml.merges\" is missing");
  expect(merges.Texts("tokenizer.ggml.merges", {"ab"}), "no two parts in merge 0");
}

TEST(GgufVocabulary, SharedVocabularies) {
  const std::string folder = POTLUCK_SOURCE_DIR "/../shared/data/tokenizers/";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is not here";
  const std::pair<const char*, size_t> expected[] = {{"ggml-vocab-gpt-2.gguf", 50257},
                                                     {"ggml-vocab-llama-spm.gguf", 32000},
                                                     {"llama3-vocab.gguf", 128256},
                                                     {"qwen2-vocab.gguf", 151646}};
  for (const auto& [name, tokens] : expected) {
    const auto file = GgufFile::Open(folder + name);
    ASSERT_TRUE(file.ok()) << file.status();
    const auto vocabulary = VocabularyFromGguf(**file);
    ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
    EXPECT_EQ(vocabulary->tokens.size(), tokens) << name;
    EXPECT_TRUE((*file)->tensors().empty());
  }
}

}  // namespace
}  // namespace potluck::model
