#include "model/model_file.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/model/gguf/gguf_builder.h"
#include "tests/model/safetensors/safetensors_builder.h"

namespace potluck::model {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class ModelFileTest : public FolderTest {
 protected:
  static std::string Llama() {
    return SmallLlama()
        .Texts("tokenizer.ggml.tokens", {"a", "b", "c"})
        .Text("tokenizer.ggml.model", "llama")
        .Text("tokenizer.chat_template", "{{ messages }}")
        .U32("tokenizer.ggml.eos_token_id", 2)
        .Floats("token_embd.weight", {3, 32})
        .Build();
  }
  void ExpectError(const std::string& path, const std::string& message) {
    const auto model = OpenModelFile(path);
    ASSERT_FALSE(model.ok()) << "expected: " << message;
    EXPECT_THAT(std::string(model.status().message()), HasSubstr(message));
  }
};

TEST_F(ModelFileTest, OpensGguf) {
  Write("small-q8.gguf", Llama());
  const auto model = OpenModelFile(folder_ + "/small-q8.gguf");
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->name, "small-q8");
  EXPECT_EQ(model->format, "GGUF v3");
  ASSERT_TRUE(model->config.ok()) << model->config.status();
  EXPECT_EQ(model->config->num_layers, 2);
  EXPECT_NE(model->weights->Find("token_embd.weight"), nullptr);
  EXPECT_EQ(model->chat_template, "{{ messages }}");
  EXPECT_EQ(model->tensor_bytes, 3u * 32 * 4);
  EXPECT_EQ(model->sampling_defaults.end_tokens, std::vector<int32_t>{2});
  const auto vocabulary = ReadVocabulary(*model);
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
  EXPECT_EQ(vocabulary->tokens.size(), 3u);
  EXPECT_EQ(ListMetadata(*model).front().key, "general.architecture");
  EXPECT_EQ(ListMetadata(*model).front().value, "llama");
  ASSERT_EQ(ListTensors(*model).size(), 1u);
  EXPECT_EQ(ListTensors(*model)[0].type, "f32");
}

TEST_F(ModelFileTest, OpensHuggingFaceFolder) {
  Write("config.json", kSmallLlamaJson);
  Write("generation_config.json", R"({"temperature": 0.5})");
  Write("model.safetensors", SafetensorsBuilder().Floats("model.norm.weight", {32}).Build());
  for (const std::string& path : {folder_, folder_ + "/"}) {
    const auto model = OpenModelFile(path);
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_EQ(model->name, "OpensHuggingFaceFolder");
    EXPECT_EQ(model->format, "safetensors");
    EXPECT_TRUE(model->config.ok()) << model->config.status();
    EXPECT_NE(model->weights->Find("output_norm.weight"), nullptr);
    EXPECT_EQ(model->sampling_defaults.temperature, 0.5f);
    EXPECT_EQ(ListTensors(*model)[0].name, "model.norm.weight");
    EXPECT_EQ(ListMetadata(*model)[0].key, "hidden_size");
    EXPECT_FALSE(ReadVocabulary(*model).ok()) << "there is no tokenizer.json";
  }
  ExpectError(folder_ + "/model.safetensors", "name its folder");
}

TEST_F(ModelFileTest, AHeaderAloneTellsAllButTheWeights) {
  const std::string bytes = Llama();
  Write("small-q8.gguf", bytes);
  const auto whole = OpenModelFile(folder_ + "/small-q8.gguf");
  ASSERT_TRUE(whole.ok()) << whole.status();
  const size_t header_bytes = whole->gguf->parts()[0].header.size();
  ASSERT_LT(header_bytes, bytes.size());
  const auto model = ModelFileFromHeaders("small-q8", {bytes.substr(0, header_bytes)});
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->name, whole->name);
  EXPECT_EQ(model->format, whole->format);
  ASSERT_TRUE(model->config.ok()) << model->config.status();
  EXPECT_EQ(model->config->tied_embeddings, whole->config->tied_embeddings);
  EXPECT_EQ(model->config->vocab_size, 3);
  EXPECT_EQ(model->chat_template, "{{ messages }}");
  EXPECT_EQ(model->tensor_bytes, whole->tensor_bytes);
  EXPECT_EQ(ReadVocabulary(*model)->tokens.size(), 3u);
  EXPECT_EQ(ListTensors(*model)[0].name, "token_embd.weight");
  EXPECT_TRUE(model->weights->tensors().empty());
  EXPECT_TRUE(absl::IsFailedPrecondition(model->weights->Get("token_embd.weight").status()));
  EXPECT_TRUE(absl::IsNotFound(model->weights->Get("no.weight").status()));
  // One byte less is no header, and neither is nothing.
  EXPECT_FALSE(ModelFileFromHeaders("small", {bytes.substr(0, header_bytes - 1)}).ok());
  EXPECT_FALSE(ModelFileFromHeaders("small", {}).ok());
  // Two headers of models that have nothing to do with each other.
  const std::string header = bytes.substr(0, header_bytes);
  EXPECT_THAT(std::string(ModelFileFromHeaders("small", {header, header}).status().message()),
              HasSubstr("split.no"));
}

TEST_F(ModelFileTest, DocumentsTellAllButTheWeights) {
  const auto model = ModelFileFromDocuments("small", {{"config.json", kSmallLlamaJson},
                                                      {"generation_config.json", R"({"top_k": 7})"},
                                                      {"chat_template.jinja", "{{ messages }}"},
                                                      {"../config.json", "ignored"}});
  ASSERT_TRUE(model.ok()) << model.status();
  ASSERT_TRUE(model->config.ok()) << model->config.status();
  EXPECT_EQ(model->config->name, "small");
  EXPECT_EQ(model->sampling_defaults.top_k, 7);
  EXPECT_EQ(model->chat_template, "{{ messages }}");
  EXPECT_TRUE(absl::IsNotFound(ReadVocabulary(*model).status()));
  EXPECT_TRUE(absl::IsNotFound(model->weights->Get("output_norm.weight").status()));
  const auto broken = ModelFileFromDocuments("small", {{"config.json", "[1]"}});
  EXPECT_THAT(std::string(broken.status().message()), HasSubstr("small/config.json"));
}

TEST_F(ModelFileTest, FindsTheOneModelInAFolder) {
  ExpectError(folder_, "is not a model folder");
  Write(
      "m-00001-of-00002.gguf",
      SmallLlama().U32("split.no", 0).U32("split.count", 2).U32("split.tensors.count", 1).Build());
  Write("m-00002-of-00002.gguf", GgufBuilder()
                                     .U32("split.no", 1)
                                     .U32("split.count", 2)
                                     .U32("split.tensors.count", 1)
                                     .Floats("token_embd.weight", {3, 32})
                                     .Build());
  Write("mmproj-m.gguf", "");
  for (const std::string& path : {folder_, folder_ + "/m-00002-of-00002.gguf"}) {
    const auto model = OpenModelFile(path);
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_EQ(model->name, "m");
    EXPECT_EQ(model->num_files, 2);
  }
  Write("other.gguf", Llama());
  const auto model = OpenModelFile(folder_);
  ASSERT_FALSE(model.ok());
  EXPECT_THAT(std::string(model.status().message()),
              AllOf(HasSubstr("m-00001-of-00002.gguf, other.gguf"), HasSubstr("name one of them")));
}

TEST_F(ModelFileTest, SaysWhatIsMissing) {
  ExpectError(folder_ + "/none", "No such file");
  Write("model.safetensors", SafetensorsBuilder().Floats("norm.weight", {1}).Build());
  ExpectError(folder_, "no config.json");
}

TEST_F(ModelFileTest, UnsupportedArchitecturesOpen) {
  Write("a.gguf", GgufBuilder().Text("general.architecture", "mamba").Build());
  const auto model = OpenModelFile(folder_ + "/a.gguf");
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->config.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(ListMetadata(*model).size(), 1u);
}

}  // namespace
}  // namespace potluck::model
