#include "model/decoder/decoder_stage.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "model/graph/memory_plan.h"

namespace potluck::model {
namespace {

constexpr int64_t MiB(int64_t bytes) { return bytes >> 20; }

KvShape ShapeOf(const ModelConfig& config, const DecoderGraph& decoder) {
  KvShape shape{.layers = {},
                .num_kv_heads = config.num_kv_heads,
                .head_dim = config.head_dim,
                .window = config.window};
  for (const int64_t layer : decoder.attention_layers)
    shape.layers.push_back(config.layers[layer].attention);
  return shape;
}

KvOptions KvOptionsOf(const StageOptions& options) {
  KvOptions kv = options.kv;
  kv.max_step_tokens = options.max_tokens;
  return kv;
}

Symbols Largest(const StageOptions& options) {
  return {options.max_tokens, options.max_outputs, options.max_tokens};
}

bool WantsLogits(const StepToken& token) {
  return token.wanted == Wanted::kSample || token.wanted == Wanted::kLogits;
}

kernels::StepLimits LimitsOf(const ModelConfig& config, const StageOptions& options) {
  return {
      .max_tokens = options.max_tokens,
      .max_input_dim = std::max({config.model_dim, config.ffn_dim, config.experts.expert_ffn_dim,
                                 config.num_heads * config.head_dim}),
      .max_experts_used = config.experts.num_experts_used,
      .max_lora_rank = 0};
}

absl::StatusOr<StageMemory> MemoryOf(const ModelConfig& config, const DecoderGraph& decoder,
                                     const WeightSource& source, const StageOptions& options) {
  // First of all: sizes that the file's own tensors do not bear out are not worth computing with.
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<const WeightTensor*> weights,
                           FindWeights(decoder.graph, source));
  StageMemory memory = DecoderStage::MemoryBesideWeights(config, decoder, options);
  for (const WeightTensor* weight : weights) memory.weight_bytes += StoredBytes(*weight);
  return memory;
}

absl::Status CheckMemory(const StageMemory& memory, const kernels::DeviceInfo& device) {
  if (memory.total() <= device.free_memory_bytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("not enough memory on ", device.name, ": the weights need ",
                   MiB(memory.weight_bytes), " MiB, the KV cache ", MiB(memory.kv_bytes),
                   " MiB and the activations ", MiB(memory.activation_bytes), " MiB, but ",
                   MiB(device.free_memory_bytes), " of ", MiB(device.total_memory_bytes),
                   " MiB are free. Choose a smaller context (--ctx), a smaller KV type (--kv-type "
                   "q8) or a smaller model"));
}

}  // namespace

absl::StatusOr<StageMemory> DecoderStage::MemoryFor(const ModelConfig& config,
                                                    const WeightSource& source,
                                                    const StageOptions& options) {
  POTLUCK_ASSIGN_OR_RETURN(const DecoderGraph decoder,
                           BuildDecoder(config, options.range, source, options.context_length));
  return MemoryOf(config, decoder, source, options);
}

StageMemory DecoderStage::MemoryBesideWeights(const ModelConfig& config,
                                              const DecoderGraph& decoder,
                                              const StageOptions& options) {
  StageMemory memory;
  memory.kv_bytes = KvCache::BytesFor(ShapeOf(config, decoder), KvOptionsOf(options));
  memory.activation_bytes = PlanMemory(decoder.graph, Largest(options)).arena_bytes;
  return memory;
}

absl::StatusOr<std::unique_ptr<DecoderStage>> DecoderStage::Load(const ModelConfig& config,
                                                                 const WeightSource& source,
                                                                 kernels::Backend& backend,
                                                                 const StageOptions& options) {
  POTLUCK_ASSIGN_OR_RETURN(DecoderGraph decoder,
                           BuildDecoder(config, options.range, source, options.context_length));
  POTLUCK_ASSIGN_OR_RETURN(const StageMemory memory, MemoryOf(config, decoder, source, options));
  POTLUCK_RETURN_IF_ERROR(CheckMemory(memory, backend.info()));
  std::unique_ptr<DecoderStage> stage(new DecoderStage(config, backend, options));
  POTLUCK_RETURN_IF_ERROR(backend.Reserve(LimitsOf(config, options)));
  POTLUCK_ASSIGN_OR_RETURN(
      stage->kv_, KvCache::Create(ShapeOf(config, decoder), KvOptionsOf(options), backend));
  POTLUCK_ASSIGN_OR_RETURN(stage->graph_,
                           BoundGraph::Bind(std::move(decoder.graph), source, backend,
                                            {.largest = Largest(options),
                                             .precision = options.precision,
                                             .on_progress = options.on_progress,
                                             .cancelled = options.cancelled}));
  for (int64_t layer = 0; layer < stage->kv_->num_layers(); ++layer) {
    stage->layers_.push_back({.pool = stage->kv_->pool(layer),
                              .index = &stage->kv_->index(layer),
                              .window = stage->kv_->window(layer)});
  }
  for (auto* numbers :
       {&stage->ids_, &stage->positions_, &stage->output_rows_, &stage->hidden_rows_})
    numbers->reserve(options.max_tokens);
  return stage;
}

absl::Status DecoderStage::CheckStep(const Step& step, std::span<const float> hidden) const {
  const bool embeds = graph_->graph().input == kNoId;
  const size_t wanted_floats = embeds ? 0 : step.tokens.size() * config_.model_dim;
  if (hidden.size() != wanted_floats) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the step brings ", hidden.size(), " hidden values, ", wanted_floats, " are expected"));
  }
  int64_t outputs = 0;
  for (const StepToken& token : step.tokens) {
    if (token.id < 0 || token.id >= config_.vocab_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("token ", token.id, " is outside the vocabulary of ", config_.vocab_size));
    }
    if (token.position < 0 || token.position >= options_.context_length) {
      return absl::InvalidArgumentError(absl::StrCat("position ", token.position,
                                                     " is outside the context of ",
                                                     options_.context_length, " tokens"));
    }
    if (token.adapter_slot != 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("adapter slot ", token.adapter_slot, " holds no adapter"));
    }
    if (WantsLogits(token)) ++outputs;
  }
  if (outputs > options_.max_outputs) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a step asks for ", outputs, " outputs; at most ", options_.max_outputs, " fit"));
  }
  return absl::OkStatus();
}

absl::Status DecoderStage::Run(const Step& step, std::span<const float> hidden,
                               const std::function<bool()>& cancelled) {
  POTLUCK_RETURN_IF_ERROR(CheckStep(step, hidden));
  POTLUCK_RETURN_IF_ERROR(kv_->Place(step));
  ids_.clear();
  positions_.clear();
  output_rows_.clear();
  hidden_rows_.clear();
  for (const StepToken& token : step.tokens) {
    const auto index = static_cast<int32_t>(ids_.size());
    if (WantsLogits(token)) output_rows_.push_back(index);
    if (token.wanted == Wanted::kHidden) hidden_rows_.push_back(index);
    ids_.push_back(token.id);
    positions_.push_back(token.position);
  }
  if (!hidden.empty()) {
    POTLUCK_RETURN_IF_ERROR(backend_.Upload(
        std::as_bytes(hidden), graph_->input(static_cast<int64_t>(step.tokens.size()))));
  }
  POTLUCK_RETURN_IF_ERROR(graph_->Run({.ids = ids_,
                                       .positions = positions_,
                                       .output_rows = output_rows_,
                                       .hidden_rows = hidden_rows_,
                                       .layers = layers_,
                                       .cancelled = &cancelled}));
  kv_->Commit(step);
  return absl::OkStatus();
}

absl::Status DecoderStage::CheckIsLast() const {
  if (graph_->graph().logits != kNoId) return absl::OkStatus();
  return absl::FailedPreconditionError("this stage is not the last one: it has no head");
}

absl::Status DecoderStage::ReadLogits(int64_t row, std::span<float> logits) const {
  POTLUCK_RETURN_IF_ERROR(CheckIsLast());
  if (row < 0 || row >= static_cast<int64_t>(output_rows_.size())) {
    return absl::InvalidArgumentError(
        absl::StrCat("output ", row, " of a step that has ", output_rows_.size()));
  }
  return backend_.Download(graph_->logits(static_cast<int64_t>(output_rows_.size())).Rows(row, 1),
                           std::as_writable_bytes(logits));
}

absl::Status DecoderStage::ReadFinalHidden(std::span<float> hidden) const {
  POTLUCK_RETURN_IF_ERROR(CheckIsLast());
  return backend_.Download(graph_->final_hidden(static_cast<int64_t>(hidden_rows_.size())),
                           std::as_writable_bytes(hidden));
}

absl::Status DecoderStage::ReadHidden(std::span<float> hidden) const {
  return backend_.Download(graph_->hidden(static_cast<int64_t>(ids_.size())),
                           std::as_writable_bytes(hidden));
}

StageMemory DecoderStage::memory() const {
  return {.weight_bytes = graph_->weight_bytes(),
          .kv_bytes = kv_->size_bytes(),
          .activation_bytes = graph_->arena_bytes()};
}

}  // namespace potluck::model
