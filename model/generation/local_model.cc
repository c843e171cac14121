#include "model/generation/local_model.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "model/generation/context_choice.h"

namespace potluck::model {

absl::StatusOr<std::unique_ptr<LocalModel>> LocalModel::Load(
    const std::string& path, std::unique_ptr<kernels::Backend> backend,
    const LocalModelOptions& options) {
  std::unique_ptr<LocalModel> model(new LocalModel());
  model->backend_ = std::move(backend);
  POTLUCK_ASSIGN_OR_RETURN(model->file_, OpenModelFile(path));
  POTLUCK_RETURN_IF_ERROR(model->file_.config.status());
  const ModelConfig& config = *model->file_.config;
  if (model->file_.gguf && model->file_.tensor_bytes == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        model->file_.path,
        " holds a vocabulary and no weights: it can be inspected and tokenized with, not run"));
  }
  absl::StatusOr<TextCodec> text = TextCodec::Create(model->file_);
  POTLUCK_RETURN_IF_ERROR(text.status());
  model->text_ = std::make_unique<TextCodec>(*std::move(text));

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

}  // namespace potluck::model
