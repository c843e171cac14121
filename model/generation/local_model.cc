#include "model/generation/local_model.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "model/generation/context_choice.h"

namespace potluck::model {
namespace {

std::string TokenTextOrEmpty(const Tokenizer& tokenizer, std::optional<TokenId> id) {
  return id.has_value() ? std::string(tokenizer.TokenText(*id)) : std::string();
}

// Says which file is at fault, where the file is and the message does not.
absl::Status InFile(const absl::Status& status, const std::string& path) {
  const bool about_file = absl::IsInvalidArgument(status) || absl::IsNotFound(status) ||
                          absl::IsUnimplemented(status) || absl::IsDataLoss(status);
  return about_file && !absl::StrContains(status.message(), path) ? Annotate(status, path) : status;
}

}  // namespace

absl::StatusOr<std::unique_ptr<LocalModel>> LocalModel::Load(
    const std::string& path, std::unique_ptr<kernels::Backend> backend,
    const LocalModelOptions& options) {
  std::unique_ptr<LocalModel> model(new LocalModel());
  model->backend_ = std::move(backend);
  POTLUCK_ASSIGN_OR_RETURN(model->file_, OpenModelFile(path));
  POTLUCK_RETURN_IF_ERROR(model->file_.config.status());
  const ModelConfig& config = *model->file_.config;
  POTLUCK_ASSIGN_OR_RETURN(Vocabulary vocabulary, ReadVocabulary(model->file_));
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = Tokenizer::Create(std::move(vocabulary));
  POTLUCK_RETURN_IF_ERROR(InFile(tokenizer.status(), model->file_.path));
  model->tokenizer_ = *std::move(tokenizer);
  model->warnings_ = model->tokenizer_->warnings();
  if (model->has_chat_template()) {
    model->chat_template_ = ChatTemplate::Parse(*model->file_.chat_template);
    if (!model->chat_template_.ok()) {
      model->chat_template_ = InFile(model->chat_template_.status(), model->file_.path);
    }
  }

  StageOptions stage{.range = StageRange::Whole(config),
                     .context_length = options.context_length,
                     .kv = {.dtype = options.kv_dtype,
                            .capacity = options.kv_capacity,
                            .max_sequences = options.max_sequences},
                     .max_tokens = options.max_tokens,
                     .max_outputs = options.max_outputs,
                     .precision = options.precision,
                     .on_progress = options.on_progress,
                     .cancelled = options.cancelled};
  const absl::StatusOr<ContextChoice> context = ChooseContext(
      config, *model->file_.weights, model->backend_->info(), stage, options.allow_longer_context);
  POTLUCK_RETURN_IF_ERROR(InFile(context.status(), model->file_.path));
  model->context_reason_ = context->reason;
  stage.context_length = context->context_length;
  if (stage.kv.capacity == 0) stage.kv.capacity = context->context_length;
  stage.max_tokens = std::min(stage.max_tokens, context->context_length * options.max_sequences);
  stage.max_outputs = std::min(stage.max_outputs, stage.max_tokens);
  auto loaded = DecoderStage::Load(config, *model->file_.weights, *model->backend_, stage);
  POTLUCK_RETURN_IF_ERROR(InFile(loaded.status(), model->file_.path));
  model->stage_ = *std::move(loaded);
  return model;
}

absl::StatusOr<std::vector<TokenId>> LocalModel::EncodeChat(const nlohmann::ordered_json& messages,
                                                            absl::CivilSecond now) const {
  POTLUCK_RETURN_IF_ERROR(chat_template_.status());
  POTLUCK_ASSIGN_OR_RETURN(
      const TextSpans text,
      chat_template_->Render({.messages = messages,
                              .add_generation_prompt = true,
                              .bos_token = TokenTextOrEmpty(*tokenizer_, tokenizer_->bos()),
                              .eos_token = TokenTextOrEmpty(*tokenizer_, tokenizer_->eos()),
                              .now = now}));
  POTLUCK_ASSIGN_OR_RETURN(std::vector<TokenId> ids,
                           tokenizer_->Encode(text, {.add_special = false}));
  // Most templates write BOS themselves; where one doesn't, the vocabulary's own rule holds.
  const auto bos = tokenizer_->bos();
  if (tokenizer_->adds_bos() && bos.has_value() && (ids.empty() || ids.front() != *bos))
    ids.insert(ids.begin(), *bos);
  return ids;
}

SamplingParams LocalModel::default_sampling() const {
  SamplingParams params;
  const SamplingDefaults& defaults = file_.sampling_defaults;
  params.temperature = defaults.temperature.value_or(params.temperature);
  params.top_k = defaults.top_k.value_or(params.top_k);
  params.top_p = defaults.top_p.value_or(params.top_p);
  params.min_p = defaults.min_p.value_or(params.min_p);
  params.repeat_penalty = defaults.repeat_penalty.value_or(params.repeat_penalty);
  return params;
}

}  // namespace potluck::model
