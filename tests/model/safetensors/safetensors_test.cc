#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/safetensors/hf_names.h"
#include "model/safetensors/safetensors_folder.h"
#include "model/safetensors/safetensors_header.h"
#include "tests/model/safetensors/safetensors_builder.h"

namespace potluck::model {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<SafetensorsHeader> Parse(const std::string& file) {
  return ParseSafetensorsHeader(std::as_bytes(std::span(file)));
}

void ExpectError(const std::string& file, const std::string& message) {
  const absl::StatusOr<SafetensorsHeader> header = Parse(file);
  ASSERT_FALSE(header.ok()) << "expected: " << message;
  EXPECT_EQ(header.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(header.status().message()), HasSubstr(message));
  EXPECT_EQ(header.status().message().find('\n'), absl::string_view::npos);
}

// One tensor "a" of the JSON given.
std::string One(const std::string& entry, size_t data_bytes = 8) {
  return SafetensorsFile("{\"a\":" + entry + "}", std::string(data_bytes, 'x'));
}

TEST(SafetensorsHeader, Reads) {
  const auto header = Parse(SafetensorsFile(
      R"({"__metadata__":{"format":"pt"},
          "b":{"dtype":"BF16","shape":[2,2],"data_offsets":[4,12]},
          "none":{"dtype":"F32","shape":[3,0],"data_offsets":[4,4]},
          "a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},
          "n":{"dtype":"F4","shape":[6],"data_offsets":[12,15]}}   )",
      std::string(15, 'x')));
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_THAT(header->metadata, ElementsAre(std::pair("format", "pt")));
  ASSERT_EQ(header->tensors.size(), 4u);
  EXPECT_EQ(header->tensors[0].name, "a");
  EXPECT_EQ(header->tensors[1].name, "none");
  EXPECT_EQ(header->tensors[2].name, "b");
  EXPECT_THAT(header->tensors[2].shape, ElementsAre(2, 2));
  EXPECT_EQ(header->tensors[2].size_bytes, 8u);
  EXPECT_EQ(header->tensors[3].size_bytes, 3u);
}

TEST(SafetensorsHeader, RefusesEveryTruncation) {
  const std::string file = SafetensorsBuilder().Floats("a", {2, 3}).Floats("b", {4}).Build();
  ASSERT_TRUE(Parse(file).ok());
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_FALSE(Parse(file.substr(0, size)).ok()) << size;
  }
  ExpectError(file + "x", "1 bytes that belong to no tensor");
}

TEST(SafetensorsHeader, SurvivesEveryChangedByte) {
  const std::string file = SafetensorsBuilder().Floats("a", {2, 3}).Floats("b", {4}).Build();
  for (size_t i = 0; i < file.size(); ++i) {
    for (const int change : {0x01, 0x10, 0x80}) {
      std::string changed = file;
      changed[i] = static_cast<char>(changed[i] ^ change);
      const auto header = Parse(changed);
      if (!header.ok()) continue;
      for (const SafetensorsEntry& entry : header->tensors) {
        EXPECT_LE(entry.offset + entry.size_bytes, changed.size());
      }
    }
  }
}

TEST(SafetensorsHeader, RefusesBadHeaders) {
  ExpectError("", "it has only 0 bytes");
  ExpectError(std::string(8, '\xFF'), "the header claims 18446744073709551615 bytes; at most");
  ExpectError(std::string("\0\0\0\1\0\0\0\0", 8), "the header claims 16777216 bytes and the file");
  ExpectError(SafetensorsFile("[]", ""), "does not begin with \"{\"");
  ExpectError(SafetensorsFile(" {}", ""), "does not begin with \"{\"");
  ExpectError(SafetensorsFile("{\"a\":", ""), "not valid JSON");
  ExpectError(SafetensorsFile("{} {}", ""), "not valid JSON");
  ExpectError(SafetensorsFile("{\"\xFF\":1}", ""), "not valid JSON");
  ExpectError(SafetensorsFile("{\"a\":" + std::string(100000, '['), ""), "nests deeper than 64");
  ExpectError(SafetensorsFile("{\"__metadata__\":[]}", ""), "__metadata__ is not a JSON object");
  ExpectError(SafetensorsFile("{\"__metadata__\":{\"a\":1}}", ""), "something other than text");
  const std::string entry = R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  ExpectError(SafetensorsFile("{\"a\":" + entry + ",\"a\":" + entry + "}", "12345678"),
              "has the key \"a\" twice");
}

TEST(SafetensorsHeader, RefusesBadEntries) {
  ASSERT_TRUE(Parse(One(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})")).ok());
  ExpectError(One("7"), "is not described by a JSON object");
  ExpectError(One(R"({"shape":[2],"data_offsets":[0,8]})"), "has no dtype");
  ExpectError(One(R"({"dtype":"F31","shape":[2],"data_offsets":[0,8]})"),
              "\"F31\", which safetensors does not define");
  ExpectError(One(R"({"dtype":"F32","data_offsets":[0,8]})"), "has no shape");
  ExpectError(One(R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})"), "has the size -2");
  ExpectError(One(R"({"dtype":"F32","shape":[2.0],"data_offsets":[0,8]})"), "has the size 2.0");
  ExpectError(One(R"({"dtype":"F32","shape":["2"],"data_offsets":[0,8]})"), "has the size");
  ExpectError(One(R"({"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,8]})"),
              "has the size");
  ExpectError(One(R"({"dtype":"F32","shape":[2]})"), "no data_offsets of two numbers");
  ExpectError(One(R"({"dtype":"F32","shape":[2],"data_offsets":[0]})"), "no data_offsets");
  ExpectError(One(R"({"dtype":"F32","shape":[2],"data_offsets":[-1,8]})"), "no data_offsets");
  ExpectError(One(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})"), "before it begins");
  ExpectError(One(R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})"), "ask for 12");
  ExpectError(One(R"({"dtype":"F4","shape":[3],"data_offsets":[0,1]})"), "ask for 1");
  ExpectError(
      One(R"({"dtype":"F32","shape":[4611686018427387904,4611686018427387904],"data_offsets":[0,0]})"),
      "ask for more than 2^61");
  ExpectError(One(R"({"dtype":"F32","shape":[4],"data_offsets":[0,16]})"), "beyond the file's");
  ExpectError(One(R"({"dtype":"F32","shape":[1],"data_offsets":[4,8]})"), "leaves a hole");
  ExpectError(One(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})"), "belong to no tensor");
  ExpectError(SafetensorsFile(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                              R"("b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
                              std::string(12, 'x')),
              "\"b\" overlaps");
}

TEST(HfNames, Maps) {
  const auto map = [](const char* name, const char* architecture = "llama") {
    return GgufTensorName(name, architecture).value_or("none");
  };
  EXPECT_EQ(map("model.embed_tokens.weight"), "token_embd.weight");
  EXPECT_EQ(map("model.norm.weight"), "output_norm.weight");
  EXPECT_EQ(map("lm_head.weight"), "output.weight");
  EXPECT_EQ(map("language_model.lm_head.weight"), "output.weight");
  EXPECT_EQ(map("model.layers.12.self_attn.q_proj.bias"), "blk.12.attn_q.bias");
  EXPECT_EQ(map("language_model.model.layers.0.mlp.down_proj.weight"), "blk.0.ffn_down.weight");
  EXPECT_EQ(map("model.language_model.layers.0.self_attn.o_proj.weight"),
            "blk.0.attn_output.weight");
  EXPECT_EQ(map("model.layers.0.post_attention_layernorm.weight"), "blk.0.ffn_norm.weight");
  EXPECT_EQ(map("model.layers.0.post_attention_layernorm.weight", "glm4"), "blk.0.ffn_norm.weight");
  EXPECT_EQ(map("model.layers.0.post_self_attn_layernorm.weight", "glm4"),
            "blk.0.post_attention_norm.weight");
  EXPECT_EQ(map("model.layers.0.post_attention_layernorm.weight", "gemma3"),
            "blk.0.post_attention_norm.weight");
  EXPECT_EQ(map("model.layers.0.pre_feedforward_layernorm.weight", "gemma3"),
            "blk.0.ffn_norm.weight");
  EXPECT_EQ(map("model.layers.0.mlp.gate.weight"), "blk.0.ffn_gate_inp.weight");
  EXPECT_EQ(map("model.layers.0.mlp.experts.7.up_proj.weight"), "blk.0.ffn_up.7.weight");
  EXPECT_EQ(map("model.layers.0.block_sparse_moe.experts.7.w2.weight"), "blk.0.ffn_down.7.weight");
  EXPECT_EQ(map("model.layers.0.mlp.experts.gate_up_proj"), "blk.0.ffn_gate_up_exps.weight");
  EXPECT_EQ(map("model.layers.0.mlp.experts.down_proj"), "blk.0.ffn_down_exps.weight");
  for (const char* name :
       {"vision_tower.layers.0.mlp.fc1.weight", "model.layers.01.mlp.gate.weight",
        "model.layers..mlp.gate.weight", "model.layers.0.self_attn.rotary_emb",
        "model.layers.99999999999999999999.mlp.gate.weight", "", "model."}) {
    EXPECT_EQ(map(name), "none") << name;
  }
}

using SafetensorsFolderTest = FolderTest;

TEST_F(SafetensorsFolderTest, ServesWeightsUnderGgufNames) {
  Write("config.json", kSmallLlamaJson);
  Write("model.safetensors", SafetensorsBuilder()
                                 .Floats("model.embed_tokens.weight", {3, 32})
                                 .Floats("model.layers.0.self_attn.qkv_proj.weight", {64, 32})
                                 .Floats("model.layers.0.mlp.gate_up_proj.weight", {128, 32})
                                 .Build());
  const auto folder = SafetensorsFolder::Open(folder_);
  ASSERT_TRUE(folder.ok()) << folder.status();
  EXPECT_EQ((*folder)->listed().size(), 3u);
  EXPECT_EQ((*folder)->tensors().size(), 6u);
  EXPECT_THAT((*folder)->Find("token_embd.weight")->shape, ElementsAre(3, 32));
  const WeightTensor* up = (*folder)->Find("blk.0.ffn_up.weight");
  ASSERT_NE(up, nullptr);
  float first;
  std::memcpy(&first, up->bytes.data(), sizeof(first));
  EXPECT_EQ(first, 64 * 32) << "gate first, then up";
  const auto missing = (*folder)->Get("output.weight");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
}

TEST_F(SafetensorsFolderTest, StacksExpertsOfBothForms) {
  std::string config = kSmallLlamaJson;
  config.replace(config.find("\"llama\""), 7,
                 "\"mixtral\", \"num_local_experts\": 2, "
                 "\"num_experts_per_tok\": 1");
  Write("config.json", config);
  SafetensorsBuilder builder;
  for (const char* expert : {"0", "1"}) {
    const std::string prefix = std::string("model.layers.0.block_sparse_moe.experts.") + expert;
    builder.Floats(prefix + ".w1.weight", {64, 32}).Floats(prefix + ".w2.weight", {32, 64});
    builder.Floats(prefix + ".w3.weight", {64, 32});
  }
  builder.Floats("model.layers.1.mlp.experts.gate_up_proj", {2, 128, 32});
  builder.Floats("model.layers.1.mlp.experts.down_proj", {2, 32, 64});
  Write("model.safetensors", builder.Build());
  const auto folder = SafetensorsFolder::Open(folder_);
  ASSERT_TRUE(folder.ok()) << folder.status();
  ASSERT_TRUE((*folder)->config().ok()) << (*folder)->config().status();
  for (const char* layer : {"blk.0.", "blk.1."}) {
    for (const char* name : {"ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"}) {
      const WeightTensor* stack = (*folder)->Find(std::string(layer) + name + ".weight");
      ASSERT_NE(stack, nullptr) << layer << name;
      EXPECT_EQ(stack->shape.size(), 3u);
      EXPECT_EQ(stack->shape[0], 2);
      if (!stack->experts.empty()) {
        EXPECT_EQ(stack->experts[1].bytes.size(), 64u * 32 * 4);
      } else {
        EXPECT_EQ(stack->bytes.size(), 2 * 64u * 32 * 4);
      }
    }
  }
}

TEST_F(SafetensorsFolderTest, ReadsShards) {
  Write("config.json", kSmallLlamaJson);
  Write("x-00001.safetensors", SafetensorsBuilder().Floats("model.norm.weight", {32}).Build());
  Write("x-00002.safetensors", SafetensorsBuilder().Floats("lm_head.weight", {3, 32}).Build());
  const auto index = [&](const std::string& head, const std::string& norm) {
    Write("model.safetensors.index.json", "{\"metadata\":{},\"weight_map\":{\"lm_head.weight\":\"" +
                                              head + "\",\"model.norm.weight\":\"" + norm + "\"}}");
    return SafetensorsFolder::Open(folder_);
  };
  const auto folder = index("x-00002.safetensors", "x-00001.safetensors");
  ASSERT_TRUE(folder.ok()) << folder.status();
  EXPECT_EQ((*folder)->num_files(), 2);
  EXPECT_NE((*folder)->Find("output.weight"), nullptr);
  const auto expect = [&](const std::string& head, const std::string& norm,
                          const std::string& message) {
    const auto broken = index(head, norm);
    ASSERT_FALSE(broken.ok());
    EXPECT_THAT(std::string(broken.status().message()), HasSubstr(message));
  };
  expect("x-00001.safetensors", "x-00001.safetensors", "index and shards are of different models");
  expect("x-00003.safetensors", "x-00001.safetensors", "x-00003.safetensors: No such file");
  expect("../x-00001.safetensors", "x-00001.safetensors", "is not in a file of this folder");
  expect("", "x-00001.safetensors", "is not in a file of this folder");
  Write(
      "x-00002.safetensors",
      SafetensorsBuilder().Floats("lm_head.weight", {1}).Floats("model.norm.weight", {1}).Build());
  expect("x-00002.safetensors", "x-00001.safetensors", "is in another shard, too");
  Write("model.safetensors.index.json", "{\"weight_map\": 3}");
  EXPECT_THAT(std::string(SafetensorsFolder::Open(folder_).status().message()),
              HasSubstr("weight_map"));
}

TEST_F(SafetensorsFolderTest, NamesTensorAndTypeThatItCannotCompute) {
  Write("config.json", kSmallLlamaJson);
  Write(
      "model.safetensors",
      SafetensorsFile(
          R"({"model.norm.weight":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}})", "1234"));
  const auto folder = SafetensorsFolder::Open(folder_);
  ASSERT_TRUE(folder.ok()) << folder.status();
  const auto tensor = (*folder)->Get("output_norm.weight");
  EXPECT_EQ(tensor.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(tensor.status().message()),
              HasSubstr("model.norm.weight is stored as F8_E4M3; supported are F32, F16 and BF16"));
}

TEST_F(SafetensorsFolderTest, RefusesTwoTensorsOfOneName) {
  Write("config.json", kSmallLlamaJson);
  Write("model.safetensors",
        SafetensorsBuilder().Floats("model.norm.weight", {1}).Floats("norm.weight", {1}).Build());
  EXPECT_THAT(std::string(SafetensorsFolder::Open(folder_).status().message()),
              HasSubstr("are both the model's output_norm.weight"));
}

TEST_F(SafetensorsFolderTest, OpensWithoutWeightsOrConfig) {
  EXPECT_EQ(SafetensorsFolder::Open(folder_).status().code(), absl::StatusCode::kNotFound);
  Write("tokenizer.json", "{}");
  Write("pytorch_model.bin", "");
  const auto folder = SafetensorsFolder::Open(folder_);
  ASSERT_TRUE(folder.ok()) << folder.status();
  EXPECT_THAT(std::string((*folder)->config().status().message()), HasSubstr("no config.json"));
  EXPECT_THAT(std::string((*folder)->Get("output.weight").status().message()),
              HasSubstr("pytorch_model.bin is not read"));
  Write("config.json", "{\"model_type\": \"rwkv\"}");
  EXPECT_EQ((*SafetensorsFolder::Open(folder_))->config().status().code(),
            absl::StatusCode::kUnimplemented);
  Write("config.json", "[]");
  EXPECT_THAT(std::string(SafetensorsFolder::Open(folder_).status().message()),
              HasSubstr("config.json: a JSON object is expected"));
}

TEST_F(SafetensorsFolderTest, FindsTheChatTemplate) {
  Write("config.json", kSmallLlamaJson);
  const auto chat_template = [&] { return (*SafetensorsFolder::Open(folder_))->chat_template(); };
  EXPECT_EQ(chat_template(), std::nullopt);
  Write("tokenizer_config.json", R"({"chat_template": "one"})");
  EXPECT_EQ(chat_template(), "one");
  Write("tokenizer_config.json", R"({"chat_template": [{"name": "tool_use", "template": "tools"},
                                                       {"name": "default", "template": "two"}]})");
  EXPECT_EQ(chat_template(), "two");
  Write("chat_template.json", R"({"chat_template": "three"})");
  EXPECT_EQ(chat_template(), "three");
  Write("chat_template.jinja", "four");
  EXPECT_EQ(chat_template(), "four");
}

TEST(SharedData, StoriesFolderOpens) {
  const std::string path = POTLUCK_SOURCE_DIR "/../shared/data/models/stories260k/hf";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not here";
  const auto folder = SafetensorsFolder::Open(path);
  ASSERT_TRUE(folder.ok()) << folder.status();
  ASSERT_TRUE((*folder)->config().ok()) << (*folder)->config().status();
  EXPECT_EQ((*folder)->config()->num_layers, 5);
  EXPECT_TRUE((*folder)->config()->tied_embeddings);
  EXPECT_EQ((*folder)->config()->rope_style, RopeStyle::kHalfSplit);
  EXPECT_THAT((*folder)->Find("blk.4.attn_k.weight")->shape, ElementsAre(32, 64));
  EXPECT_THAT((*folder)->sampling_defaults().end_tokens, ElementsAre(2));
}

}  // namespace
}  // namespace potluck::model
