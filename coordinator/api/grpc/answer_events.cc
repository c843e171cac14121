#include "coordinator/api/grpc/answer_events.h"

#include <string>
#include <utility>

#include "absl/time/time.h"
#include "common/text.h"
#include "coordinator/api/http/completion_json.h"

namespace potluck::coordinator {
namespace {

void Fill(const model::TokenLogprob& token, const model::Tokenizer& tokenizer,
          v1::Logprob& filled) {
  filled.set_id(static_cast<uint32_t>(token.id));
  filled.set_text(std::string(tokenizer.AnswerBytes(token.id)));
  filled.set_logprob(token.logprob);
}

void Fill(const AnswerPiece& piece, const model::Tokenizer& tokenizer, v1::AnswerPiece& filled) {
  filled.set_text(ValidUtf8(piece.text));
  filled.set_reasoning(ValidUtf8(piece.reasoning));
  for (const AnswerCall& call : piece.calls) {
    v1::ToolCallPiece& told = *filled.add_tool_calls();
    told.set_index(static_cast<uint32_t>(call.index));
    told.set_id(call.id);
    told.set_name(call.name);
    told.set_arguments(ValidUtf8(call.arguments));
  }
  for (const ChosenToken& chosen : piece.tokens) {
    v1::ChosenToken& told = *filled.add_tokens();
    for (size_t i = 0; i < chosen.logprobs.size(); ++i)
      Fill(chosen.logprobs[i], tokenizer, i == 0 ? *told.mutable_token() : *told.add_top());
  }
}

}  // namespace

void AnswerEvents::OnBegin(Answer& answer) {
  answer_ = &answer;
  calls_.resize(static_cast<size_t>(answer.asked().choices));
  call_->OnGone(WhileAlive([this] {
    if (answer_ != nullptr) std::exchange(answer_, nullptr)->Cancel();
  }));
  v1::AnswerEvent event;
  event.mutable_begun()->set_id(answer.head().id);
  event.mutable_begun()->set_model(answer.head().model_name);
  event.mutable_begun()->set_created(answer.head().created);
  call_->Write(std::move(event));
}

// Calls come from other objects' tasks, perhaps after our end.
std::function<void()> AnswerEvents::WhileAlive(std::function<void()> call) {
  return [alive = std::weak_ptr(alive_), call = std::move(call)] {
    if (!alive.expired()) call();
  };
}

void AnswerEvents::OnProgress(const PromptProgress& progress) {
  v1::AnswerEvent event;
  event.mutable_progress()->set_prompt_tokens(static_cast<uint32_t>(progress.prompt_tokens));
  event.mutable_progress()->set_cached_tokens(static_cast<uint32_t>(progress.cached_tokens));
  event.mutable_progress()->set_computed_tokens(static_cast<uint32_t>(progress.computed_tokens));
  call_->Write(std::move(event));
}

void AnswerEvents::OnPiece(int choice, AnswerPiece piece) {
  if (!piece.calls.empty()) calls_[static_cast<size_t>(choice)] = true;
  v1::AnswerEvent event;
  event.mutable_piece()->set_choice(static_cast<uint32_t>(choice));
  Fill(piece, answer_->model().text.tokenizer(), *event.mutable_piece());
  call_->Write(std::move(event));
  PauseIfUnread();
}

void AnswerEvents::OnChoiceEnd(int choice, model::FinishReason reason) {
  v1::AnswerEvent event;
  event.mutable_choice_ended()->set_choice(static_cast<uint32_t>(choice));
  event.mutable_choice_ended()->set_finish_reason(
      FinishReasonName(reason, calls_[static_cast<size_t>(choice)]));
  call_->Write(std::move(event));
}

void AnswerEvents::OnEnd() {
  const AnswerUsage usage = answer_->usage();
  v1::AnswerEvent event;
  v1::AnswerEnded& ended = *event.mutable_ended();
  ended.set_prompt_tokens(static_cast<uint32_t>(usage.prompt_tokens));
  ended.set_cached_tokens(static_cast<uint32_t>(usage.cached_tokens));
  ended.set_generated_tokens(static_cast<uint32_t>(usage.generated_tokens));
  ended.set_queue_seconds(absl::ToDoubleSeconds(usage.queue_time));
  ended.set_prompt_seconds(absl::ToDoubleSeconds(usage.prompt_time));
  ended.set_generation_seconds(absl::ToDoubleSeconds(usage.generation_time));
  for (const AnswerUsage::Stage& stage : usage.stages) {
    v1::StageTime& told = *ended.add_stages();
    told.set_worker(stage.worker);
    told.set_device(stage.device);
    told.add_layers(static_cast<uint32_t>(stage.first_layer));
    told.add_layers(static_cast<uint32_t>(stage.last_layer));
    told.set_steps(static_cast<uint64_t>(stage.steps));
    told.set_computing_seconds(stage.computing_seconds);
    told.set_waiting_seconds(stage.waiting_seconds);
  }
  call_->Write(std::move(event));
  call_->Finish(absl::OkStatus());
  answer_ = nullptr;
}

void AnswerEvents::OnFailed(const absl::Status& why) {
  call_->Finish(why);
  answer_ = nullptr;
}

void AnswerEvents::PauseIfUnread() {
  if (paused_ || answer_ == nullptr || call_->queued_bytes() <= AnswerReader::kMostUnreadBytes)
    return;
  paused_ = true;
  answer_->SetReaderPaused(true);
  call_->OnDrained(WhileAlive([this] {
    paused_ = false;
    if (answer_ != nullptr) answer_->SetReaderPaused(false);
  }));
}

}  // namespace potluck::coordinator
