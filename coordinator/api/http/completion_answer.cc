#include "coordinator/api/http/completion_answer.h"

#include <utility>

#include "coordinator/api/http/replies.h"

namespace potluck::coordinator {
namespace {

using nlohmann::ordered_json;

// Proxies and clients close a stream that says nothing for long.
constexpr absl::Duration kKeepAlive = absl::Seconds(15);

// The fragments of each call joined.
void Join(std::vector<AnswerCall>& calls, std::vector<AnswerCall> more) {
  for (AnswerCall& call : more) {
    if (call.name.empty() && !calls.empty()) {
      calls.back().arguments += call.arguments;
    } else {
      calls.push_back(std::move(call));
    }
  }
}

CompletionRequest WithoutAnswer(const CompletionRequest& asked) {
  CompletionRequest without = asked;
  without.answer = {};
  return without;
}

}  // namespace

CompletionAnswer::CompletionAnswer(const CompletionRequest& asked, std::string fingerprint,
                                   std::shared_ptr<HttpExchange> exchange, Executor& executor)
    : asked_(WithoutAnswer(asked)),
      fingerprint_(std::move(fingerprint)),
      exchange_(std::move(exchange)),
      executor_(executor),
      keep_alive_(executor) {}

void CompletionAnswer::OnBegin(Answer& answer) {
  answer_ = &answer;
  const AnswerRequest& asked = answer.asked();
  choices_.resize(asked.prompts.size() * static_cast<size_t>(asked.choices));
  for (size_t i = 0; i < choices_.size(); ++i) {
    choices_[i].said.index = static_cast<int>(i);
    choices_[i].said.has_logprobs = asked.top_logprobs >= 0;
  }
  exchange_->OnGone(WhileAlive([this] {
    if (answer_ != nullptr) std::exchange(answer_, nullptr)->Cancel();
    keep_alive_.Cancel();
  }));
  if (!streams()) return;
  exchange_->BeginStream(200, kEventStream, {{"Cache-Control", "no-cache"}});
  last_write_at_ = executor_.clock().SinceStart();
  KeepAlive();
}

// Calls come from other objects' tasks, perhaps after our end.
std::function<void()> CompletionAnswer::WhileAlive(std::function<void()> call) {
  return [alive = std::weak_ptr(alive_), call = std::move(call)] {
    if (!alive.expired()) call();
  };
}

// The time moves with all that is written, the timer only when it is due.
void CompletionAnswer::KeepAlive() {
  const absl::Duration left = last_write_at_ + kKeepAlive - executor_.clock().SinceStart();
  if (left <= absl::ZeroDuration()) {
    Write(": waiting\n\n");
    return KeepAlive();
  }
  keep_alive_.Start(left, [this] { KeepAlive(); });
}

void CompletionAnswer::OnProgress(const PromptProgress& progress) {
  if (!asked_.return_progress) return;
  ordered_json chunk = Chunk(ordered_json::array());
  chunk["choices"].push_back(ChunkChoice(asked_.kind, {}, answer_->model().text.tokenizer()));
  chunk["prompt_progress"] = ProgressJson(progress);
  Send(chunk);
}

void CompletionAnswer::OnPiece(int index, AnswerPiece piece) {
  Choice& choice = choices_[static_cast<size_t>(index)];
  CompletionChoice& said = choice.said;
  choice.calls |= !piece.calls.empty();
  if (!streams()) {
    said.reasoning += piece.reasoning;
    said.text += piece.text;
    Join(said.calls, std::move(piece.calls));
    said.tokens.insert(said.tokens.end(), std::make_move_iterator(piece.tokens.begin()),
                       std::make_move_iterator(piece.tokens.end()));
    return;
  }
  CompletionChoice now = said;
  now.reasoning = std::move(piece.reasoning);
  now.text = std::move(piece.text);
  now.calls = std::move(piece.calls);
  now.tokens = std::move(piece.tokens);
  if (now.has_logprobs)
    said.text_offset += CharactersOf(now.tokens, answer_->model().text.tokenizer());
  SendChoice(std::move(now));
}

void CompletionAnswer::OnChoiceEnd(int index, model::FinishReason reason) {
  ++num_ended_;
  Choice& choice = choices_[static_cast<size_t>(index)];
  CompletionChoice& said = choice.said;
  said.finish_reason = FinishReasonName(reason, choice.calls);
  if (!streams()) return;
  CompletionChoice now = said;
  now.has_logprobs = false;
  SendChoice(std::move(now));
}

void CompletionAnswer::OnEnd() {
  const AnswerUsage usage = answer_->usage();
  if (!streams()) {
    ordered_json reply =
        CompletionEnvelope(asked_.kind, answer_->head(), fingerprint_, /*chunk=*/false);
    reply["choices"] = ordered_json::array();
    for (const Choice& choice : choices_)
      reply["choices"].push_back(
          WholeChoice(asked_.kind, choice.said, answer_->model().text.tokenizer()));
    reply["usage"] = UsageJson(usage);
    reply["timings"] = TimingsJson(usage);
    RespondJson(*exchange_, reply);
  } else {
    if (asked_.include_usage) {
      ordered_json chunk = Chunk(ordered_json::array());
      chunk["usage"] = UsageJson(usage);
      chunk["timings"] = TimingsJson(usage);
      Send(chunk);
    }
    exchange_->Write("data: [DONE]\n\n");
    exchange_->End();
  }
  answer_ = nullptr;
  keep_alive_.Cancel();
}

void CompletionAnswer::OnFailed(const absl::Status& why) {
  if (answer_ != nullptr && streams()) {
    Send(ErrorJson(why));
    exchange_->End();
  } else {
    RespondError(*exchange_, why);
  }
  answer_ = nullptr;
  keep_alive_.Cancel();
}

ordered_json CompletionAnswer::Chunk(ordered_json choices) const {
  ordered_json chunk =
      CompletionEnvelope(asked_.kind, answer_->head(), fingerprint_, /*chunk=*/true);
  chunk["choices"] = std::move(choices);
  return chunk;
}

void CompletionAnswer::SendChoice(CompletionChoice choice) {
  bool& begun = choices_[static_cast<size_t>(choice.index)].begun;
  if (!std::exchange(begun, true) && asked_.kind == CompletionKind::kChat)
    Send(Chunk(ordered_json::array({RoleChoice(choice.index)})));
  ordered_json chunk = Chunk(
      ordered_json::array({ChunkChoice(asked_.kind, choice, answer_->model().text.tokenizer())}));
  // With the last chunk that has a choice, unless one with the usage follows.
  const bool last = num_ended_ == choices_.size() && !asked_.include_usage;
  if (asked_.timings_per_token || last) chunk["timings"] = TimingsJson(answer_->usage());
  Send(chunk);
}

void CompletionAnswer::Send(const ordered_json& event) {
  Write("data: " + Dump(event) + "\n\n");
  PauseIfUnread();
}

void CompletionAnswer::Write(std::string bytes) {
  exchange_->Write(std::move(bytes));
  last_write_at_ = executor_.clock().SinceStart();
}

void CompletionAnswer::PauseIfUnread() {
  if (paused_ || answer_ == nullptr || exchange_->queued_bytes() <= kMostUnreadBytes) return;
  paused_ = true;
  answer_->SetReaderPaused(true);
  exchange_->OnDrained(WhileAlive([this] {
    paused_ = false;
    if (answer_ != nullptr) answer_->SetReaderPaused(false);
  }));
}

}  // namespace potluck::coordinator
