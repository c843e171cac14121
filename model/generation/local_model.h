// A model of one machine, ready to answer: its file, vocabulary, chat template, and the whole
// decoder on one device.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/civil_time.h"
#include "kernels/backend.h"
#include "model/chat_template/chat_template.h"
#include "model/decoder/decoder_stage.h"
#include "model/model_file.h"
#include "model/sampling/sampler.h"
#include "model/tokenizer/tokenizer.h"

namespace potluck::model {

struct LocalModelOptions {
  int64_t context_length = 0;  // 0: the model's own, or what fits in memory
  // A context beyond what the model was trained for is an error, unless this is set (measurements).
  bool allow_longer_context = false;
  kernels::DType kv_dtype = kernels::DType::kF16;
  int64_t max_sequences = 1;
  // Positions that all sequences hold together; 0: one context.
  int64_t kv_capacity = 0;
  int64_t max_tokens = 512;  // of a step
  int64_t max_outputs = 1;   // of a step
  kernels::Precision precision = kernels::Precision::kInt8;
  std::function<void(double)> on_progress;
  std::function<bool()> cancelled;
};

// Thread-compatible.
class LocalModel {
 public:
  static absl::StatusOr<std::unique_ptr<LocalModel>> Load(const std::string& path,
                                                          std::unique_ptr<kernels::Backend> backend,
                                                          const LocalModelOptions& options);

  const ModelFile& file() const { return file_; }
  const ModelConfig& config() const { return stage_->config(); }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  kernels::Backend& backend() { return *backend_; }
  DecoderStage& stage() { return *stage_; }

  bool has_chat_template() const { return file_.chat_template.has_value(); }
  // A conversation as the model was trained to read it, up to where its answer begins. Without a
  // template of its own: ChatML. `messages`: [{"role": "user", "content": "..."}, ...]. `now`: what
  // the template may print.
  absl::StatusOr<std::vector<TokenId>> EncodeChat(const nlohmann::ordered_json& messages,
                                                  absl::CivilSecond now) const;
  // Plain text to be continued.
  absl::StatusOr<std::vector<TokenId>> EncodeText(std::string_view text) const {
    return tokenizer_->Encode(text);
  }

  // The makers' recommendations over our own defaults.
  SamplingParams default_sampling() const;
  const std::vector<TokenId>& end_tokens() const { return file_.sampling_defaults.end_tokens; }

  // Why the context is as long as it is: "2048 tokens, the model's own".
  const std::string& context_reason() const { return context_reason_; }
  // What a person should know: a missing template, a vocabulary's oddities.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  LocalModel() = default;

  ModelFile file_;
  std::unique_ptr<Tokenizer> tokenizer_;
  // An error where the model's own cannot be read: then only plain text works.
  absl::StatusOr<ChatTemplate> chat_template_ = ChatTemplate::ChatMl();
  std::unique_ptr<kernels::Backend> backend_;
  std::unique_ptr<DecoderStage> stage_;
  std::string context_reason_;
  std::vector<std::string> warnings_;
};

}  // namespace potluck::model
