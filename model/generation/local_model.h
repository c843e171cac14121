// A model of one machine, ready to answer: its file, its text side, and the whole decoder on one
// device.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "model/decoder/decoder_stage.h"
#include "model/generation/text_codec.h"
#include "model/model_file.h"

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
  const TextCodec& text() const { return *text_; }
  const Tokenizer& tokenizer() const { return text_->tokenizer(); }
  kernels::Backend& backend() { return *backend_; }
  DecoderStage& stage() { return *stage_; }

  // Why the context is as long as it is: "2048 tokens, the model's own".
  const std::string& context_reason() const { return context_reason_; }

 private:
  LocalModel() = default;

  ModelFile file_;
  std::unique_ptr<TextCodec> text_;
  std::unique_ptr<kernels::Backend> backend_;
  std::unique_ptr<DecoderStage> stage_;
  std::string context_reason_;
};

}  // namespace potluck::model
