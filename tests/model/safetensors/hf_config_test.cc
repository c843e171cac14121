#include "model/safetensors/hf_config.h"

#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace potluck::model {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The sizes that all the tests share, and `more` keys; a later key of the same name wins.
Json Small(const std::string& model_type, const char* more = "{}") {
  Json json = Json::parse(R"({"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 3,
    "max_position_embeddings": 128, "rms_norm_eps": 1e-5})");
  json["model_type"] = model_type;
  const Json changes = Json::parse(more);
  for (const auto& [key, value] : changes.items()) json[key] = value;
  return json;
}

ModelConfig Config(const Json& json) {
  const auto config = ConfigFromHf(json);
  EXPECT_TRUE(config.ok()) << config.status() << json;
  return config.value_or(ModelConfig());
}

void ExpectError(const Json& json, const std::string& message,
                 absl::StatusCode code = absl::StatusCode::kInvalidArgument) {
  const auto config = ConfigFromHf(json);
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

TEST(HfConfig, Llama) {
  const ModelConfig config = Config(Small("llama"));
  EXPECT_EQ(config.architecture, "llama");
  EXPECT_EQ(config.head_dim, 8);
  EXPECT_EQ(config.rope_dims, 8);
  EXPECT_EQ(config.num_kv_heads, 2);
  EXPECT_EQ(config.rope_style, RopeStyle::kHalfSplit);
  EXPECT_FLOAT_EQ(config.norm_eps, 1e-5f);
  EXPECT_FLOAT_EQ(config.layers[1].rope_theta, 10000);
  EXPECT_FLOAT_EQ(config.attention_scale, 1 / std::sqrt(8.0f));
  EXPECT_FALSE(config.tied_embeddings);
  EXPECT_EQ(Config(Small("llama", R"({"num_key_value_heads": null})")).num_kv_heads, 4);
  const ModelConfig biased =
      Config(Small("llama", R"({"attention_bias": true, "mlp_bias": true})"));
  EXPECT_TRUE(biased.attention_bias && biased.attention_output_bias && biased.ffn_bias);
}

TEST(HfConfig, Llama31ScalingInBothForms) {
  const char* forms[] = {
      R"({"rope_theta": 500000.0, "rope_scaling": {"rope_type": "llama3", "factor": 8.0,
          "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}})",
      R"({"rope_parameters": {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0,
          "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}})"};
  for (const char* form : forms) {
    const ModelConfig config = Config(Small("llama", form));
    EXPECT_FLOAT_EQ(config.layers[0].rope_theta, 500000);
    EXPECT_EQ(config.rope_scaling.kind, RopeScalingKind::kLlama3);
    EXPECT_EQ(config.rope_scaling.factor, 8);
    EXPECT_EQ(config.rope_scaling.original_context, 64);
    EXPECT_EQ(config.rope_scaling.high_freq_factor, 4);
  }
  ExpectError(Small("llama", R"({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}})"),
              "low_freq_factor is missing");
}

TEST(HfConfig, Windows) {
  EXPECT_EQ(Config(Small("mistral")).window, 4096) << "the class's own";
  EXPECT_THAT(Windows(Config(Small("mistral", R"({"sliding_window": 16})"))),
              ElementsAre(true, true));
  EXPECT_THAT(Windows(Config(Small("mistral", R"({"sliding_window": null})"))),
              ElementsAre(false, false));
  EXPECT_THAT(Windows(Config(Small("qwen2", R"({"sliding_window": 16})"))),
              ElementsAre(false, false));
  EXPECT_THAT(Windows(Config(Small("qwen2", R"({"sliding_window": 16, "use_sliding_window": true,
                                               "max_window_layers": 1})"))),
              ElementsAre(false, true));
  EXPECT_THAT(Windows(Config(Small("phi3", R"({"sliding_window": 16})"))), ElementsAre(true, true));
  EXPECT_THAT(Windows(Config(Small("gemma2"))), ElementsAre(true, false));
  EXPECT_THAT(Windows(Config(Small("gemma2", R"({"layer_types": ["full_attention",
                                                "sliding_attention"]})"))),
              ElementsAre(false, true));
  ExpectError(Small("gemma2", R"({"layer_types": ["full_attention"]})"), "layer_types");
  ExpectError(Small("gemma2", R"({"layer_types": ["full_attention", "linear"]})"), "\"linear\"",
              absl::StatusCode::kUnimplemented);
  ExpectError(Small("mistral", R"({"sliding_window": -1})"), "sliding_window is -1");
}

TEST(HfConfig, QwenFamilies) {
  const ModelConfig qwen2 = Config(Small("qwen2"));
  EXPECT_TRUE(qwen2.attention_bias);
  EXPECT_FALSE(qwen2.attention_output_bias);
  const ModelConfig qwen3 = Config(Small("qwen3", R"({"head_dim": 16})"));
  EXPECT_TRUE(qwen3.qk_norm);
  EXPECT_EQ(qwen3.head_dim, 16);
  EXPECT_EQ(Config(Small("qwen3")).head_dim, 128) << "the class's own";
}

TEST(HfConfig, GemmaFamilies) {
  const ModelConfig gemma = Config(Small("gemma", R"({"hidden_act": "gelu", "head_dim": 16})"));
  EXPECT_EQ(gemma.activation, Activation::kGeluTanh);
  EXPECT_TRUE(gemma.norm_adds_one);
  EXPECT_TRUE(gemma.tied_embeddings);
  EXPECT_FLOAT_EQ(gemma.embedding_scale, std::sqrt(32.0f));
  EXPECT_FLOAT_EQ(gemma.attention_scale, 0.25f);
  const ModelConfig gemma2 = Config(Small("gemma2", R"({"query_pre_attn_scalar": 64,
                                    "attn_logit_softcapping": null})"));
  EXPECT_FLOAT_EQ(gemma2.attention_scale, 0.125f);
  EXPECT_EQ(gemma2.attention_softcap, 0);
  EXPECT_EQ(gemma2.logit_softcap, 30);
  EXPECT_TRUE(gemma2.post_norms);
}

TEST(HfConfig, Gemma3InAllItsForms) {
  // Version 5 writes a theta per kind of layer; before, there were two keys and a pattern. A
  // picture model has the text's numbers one level down, and leaves out what its class knows.
  const Json forms[] = {
      Small("gemma3_text", R"({"num_hidden_layers": 7, "sliding_window": 16, "rope_parameters": {
          "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
          "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}})"),
      Small("gemma3_text", R"({"num_hidden_layers": 7, "sliding_window": 16,
          "sliding_window_pattern": 6, "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0,
          "rope_scaling": {"rope_type": "linear", "factor": 8.0}})"),
      Json::parse(R"({"model_type": "gemma3", "text_config": {"model_type": "gemma3_text",
          "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 7, "sliding_window": 16,
          "rope_scaling": {"rope_type": "linear", "factor": 8.0}}})")};
  for (const Json& form : forms) {
    const ModelConfig config = Config(form);
    EXPECT_THAT(Windows(config), ElementsAre(true, true, true, true, true, false, true));
    EXPECT_FLOAT_EQ(config.layers[0].rope_theta, 10000);
    EXPECT_FLOAT_EQ(config.layers[5].rope_theta, 1e6f);
    EXPECT_EQ(config.rope_scaling.kind, RopeScalingKind::kLinear);
    EXPECT_FALSE(config.layers[0].scale_rope);
    EXPECT_TRUE(config.layers[5].scale_rope);
    EXPECT_EQ(config.window, 16);
    EXPECT_EQ(config.head_dim, 256);
    EXPECT_FLOAT_EQ(config.attention_scale, 1 / 16.0f);
    EXPECT_EQ(config.attention_softcap, 0);
  }
  EXPECT_EQ(Config(forms[2]).vocab_size, 262208);
  EXPECT_EQ(Config(forms[2]).context_length, 131072);
}

TEST(HfConfig, Phi3) {
  const ModelConfig config = Config(Small("phi3", R"({"original_max_position_embeddings": 32,
          "partial_rotary_factor": 0.75, "rope_scaling": {"type": "su",
          "short_factor": [1, 1, 1], "long_factor": [2, 3, 4]}})"));
  EXPECT_EQ(config.rope_dims, 6);
  EXPECT_EQ(config.rope_scaling.kind, RopeScalingKind::kLongRope);
  EXPECT_EQ(config.rope_scaling.original_context, 32);
  EXPECT_EQ(config.rope_scaling.factor, 4);
  EXPECT_THAT(config.rope_scaling.long_factors, ElementsAre(2, 3, 4));
  EXPECT_FALSE(config.attention_bias);
  ExpectError(Small("phi3", R"({"rope_scaling": {"type": "longrope", "short_factor": [1, 1],
                                "long_factor": [1, 1, 1, 1]}})"),
              "has 2 factors where 4 pairs are rotated");
  ExpectError(Small("phi3", R"({"rope_scaling": {"type": "longrope"}})"), "short_factor");
}

TEST(HfConfig, GlmFamilies) {
  const ModelConfig glm = Config(Small("glm", R"({"head_dim": 8})"));
  EXPECT_EQ(glm.architecture, "chatglm");
  EXPECT_EQ(glm.rope_dims, 4);
  EXPECT_EQ(glm.rope_style, RopeStyle::kAdjacentPairs);
  EXPECT_TRUE(glm.attention_bias);
  EXPECT_FALSE(glm.attention_output_bias);
  EXPECT_FALSE(glm.post_norms);
  const ModelConfig glm4 = Config(Small("glm4", R"({"head_dim": 8, "attention_bias": false})"));
  EXPECT_TRUE(glm4.post_norms);
  EXPECT_FALSE(glm4.attention_bias);
  EXPECT_EQ(glm4.rope_dims, 4);
}

TEST(HfConfig, Experts) {
  const ModelConfig mixtral =
      Config(Small("mixtral", R"({"num_local_experts": 8, "num_experts_per_tok": 2})"));
  EXPECT_EQ(mixtral.experts.num_experts, 8);
  EXPECT_EQ(mixtral.experts.expert_ffn_dim, 64);
  EXPECT_TRUE(mixtral.experts.normalize_weights);
  EXPECT_FLOAT_EQ(mixtral.layers[0].rope_theta, 1e6f);
  for (const char* key : {"num_experts", "num_local_experts"}) {
    Json json = Small("qwen3_moe", R"({"num_experts_per_tok": 2, "moe_intermediate_size": 24})");
    json[key] = 8;
    const ModelConfig qwen = Config(json);
    EXPECT_EQ(qwen.experts.num_experts, 8);
    EXPECT_EQ(qwen.experts.expert_ffn_dim, 24);
    EXPECT_FALSE(qwen.experts.normalize_weights) << "the class's own";
    json["mlp_only_layers"] = {0};
    ExpectError(json, "mlp_only_layers", absl::StatusCode::kUnimplemented);
  }
  ExpectError(Small("mixtral"), "num_local_experts is missing");
}

TEST(HfConfig, RefusesAbsurdNumbers) {
  for (const char* key :
       {"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "vocab_size", "max_position_embeddings", "head_dim"}) {
    for (const Json& value : {Json(0), Json(-1), Json(int64_t{1} << 40), Json("x"), Json(1.5)}) {
      Json json = Small("llama");
      json[key] = value;
      ExpectError(json, key);
    }
  }
  ExpectError(Small("llama", R"({"num_hidden_layers": null})"), "num_hidden_layers is missing");
  ExpectError(Small("llama", R"({"num_key_value_heads": 3})"), "doesn't divide the 4 heads");
  ExpectError(Small("llama", R"({"head_dim": 7})"), "rotated dimensions");
  for (const char* value : {"0", "-1e-5", "2", "1e40", "\"small\""}) {
    ExpectError(Small("llama", ("{\"rms_norm_eps\": " + std::string(value) + "}").c_str()),
                "rms_norm_eps");
  }
  ExpectError(Small("llama", R"({"rope_theta": 0})"), "rope_theta");
  ExpectError(Small("llama", R"({"rope_scaling": 7})"), "rope_scaling");
  ExpectError(Small("llama", R"({"rope_scaling": {"type": "linear"}})"), "factor is missing");
  ExpectError(Small("llama", R"({"rope_scaling": {"type": "linear", "factor": -1}})"),
              "rope_scaling");
  ExpectError(Small("llama", R"({"rope_scaling": {"type": "dynamic", "factor": 2}})"),
              "\"dynamic\"", absl::StatusCode::kUnimplemented);
  ExpectError(Small("llama", R"({"partial_rotary_factor": 0})"), "partial_rotary_factor");
  ExpectError(Small("llama", R"({"hidden_act": "relu"})"), "\"relu\"",
              absl::StatusCode::kUnimplemented);
}

TEST(HfConfig, NamesModelTypesThatItRuns) {
  ExpectError(Small("rwkv"), "\"rwkv\" is not supported; supported are llama, mistral, mixtral",
              absl::StatusCode::kUnimplemented);
  ExpectError(Json::object(), "model_type is missing");
  ExpectError(Json::array(), "not a JSON object");
}

TEST(HfSampling, Defaults) {
  const Json config = Json::parse(R"({"eos_token_id": 7})");
  const SamplingDefaults defaults = SamplingDefaultsFromHf(
      Json::parse(R"({"temperature": 0.6, "top_k": 20, "top_p": 0.95, "min_p": 3,
                      "repetition_penalty": 1.05, "eos_token_id": [1, 2, 1, -5, "x"]})"),
      config);
  EXPECT_EQ(defaults.temperature, 0.6f);
  EXPECT_EQ(defaults.top_k, 20);
  EXPECT_EQ(defaults.top_p, 0.95f);
  EXPECT_EQ(defaults.min_p, std::nullopt) << "3 is no probability";
  EXPECT_EQ(defaults.repeat_penalty, 1.05f);
  EXPECT_THAT(defaults.end_tokens, ElementsAre(1, 2));
  const SamplingDefaults greedy =
      SamplingDefaultsFromHf(Json::parse(R"({"temperature": 0.6, "do_sample": false})"), config);
  EXPECT_EQ(greedy.temperature, 0.0f);
  EXPECT_THAT(greedy.end_tokens, ElementsAre(7));
  const SamplingDefaults none = SamplingDefaultsFromHf(Json(), Json());
  EXPECT_EQ(none.temperature, std::nullopt);
  EXPECT_TRUE(none.end_tokens.empty());
  const Json impossible = Json::parse(R"({"top_p": 0})");
  EXPECT_EQ(SamplingDefaultsFromHf(impossible, Json()).top_p, std::nullopt) << "nothing is left";
}

TEST(PoolingFromHfTest, OneKindOrNoneThatIsKnown) {
  const auto pooling = [](const char* json) { return PoolingFromHf(Json::parse(json), Json()); };
  EXPECT_EQ(pooling("{}"), Pooling::kMean);
  EXPECT_EQ(pooling(R"({"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false})"),
            Pooling::kMean);
  EXPECT_EQ(pooling(R"({"pooling_mode_cls_token": true})"), Pooling::kFirst);
  EXPECT_EQ(pooling(R"({"pooling_mode_lasttoken": true})"), Pooling::kLast);
  EXPECT_EQ(pooling(R"({"pooling_mode_max_tokens": true})"), Pooling::kOther);
  EXPECT_EQ(pooling(R"({"pooling_mode_lasttoken": true, "pooling_mode_mean_tokens": true})"),
            Pooling::kOther);
  EXPECT_EQ(pooling(R"({"pooling_mode_lasttoken": "yes"})"), Pooling::kMean);
  for (const char* looks_ahead :
       {R"({"use_bidirectional_attention": true})", R"({"is_causal": false})"})
    EXPECT_EQ(PoolingFromHf(Json(), Json::parse(looks_ahead)), Pooling::kOther);
}

}  // namespace
}  // namespace potluck::model
