#include "coordinator/api/http/completion_answer.h"

#include <algorithm>
#include <utility>

#include "common/log.h"
#include "common/text.h"
#include "coordinator/api/http/replies.h"

namespace potluck::coordinator {
namespace {

using nlohmann::ordered_json;

// A client that has so much unread is not computed for; it goes on when it has read all.
constexpr size_t kUnreadBytes = 64 << 10;
// Proxies and clients close a stream that says nothing for long.
constexpr absl::Duration kKeepAlive = absl::Seconds(15);

}  // namespace

CompletionAnswer::CompletionAnswer(AnswerHead head, CompletionRequest asked,
                                   std::shared_ptr<const ServedModel> model,
                                   std::shared_ptr<HttpExchange> exchange, Coordinator& coordinator,
                                   Executor& executor, std::function<void()> ended)
    : head_(std::move(head)),
      asked_(std::move(asked)),
      model_(std::move(model)),
      exchange_(std::move(exchange)),
      coordinator_(coordinator),
      executor_(executor),
      ended_(std::move(ended)),
      text_(model_->text.tokenizer(), asked_.stop),
      keep_alive_(executor) {}

CompletionAnswer::~CompletionAnswer() {
  if (id_.has_value() && !over_) coordinator_.Cancel(*id_);
}

void CompletionAnswer::Start(model::InstanceId instance, SequenceRequest request) {
  prompt_tokens_ = static_cast<int64_t>(request.prompt.size());
  auto id = coordinator_.Submit(instance, std::move(request), *this);
  if (!id.ok()) {
    OnFailed(id.status());
    return;
  }
  id_ = *id;
  exchange_->OnGone(WhileAlive([this] { Gone(); }));
  if (!asked_.stream) return;
  exchange_->BeginStream(200, "text/event-stream", {{"Cache-Control", "no-cache"}});
  streaming_ = true;
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

void CompletionAnswer::Write(std::string bytes) {
  exchange_->Write(std::move(bytes));
  last_write_at_ = executor_.clock().SinceStart();
}

void CompletionAnswer::OnToken(model::TokenId token,
                               const std::vector<model::TokenLogprob>& logprobs) {
  if (over_ || text_.stopped()) return;
  ++generated_tokens_;
  if (asked_.top_logprobs >= 0) unsent_.push_back({token, logprobs});
  const std::string text = text_.Feed(token);
  if (streaming_) {
    if (!text.empty()) SendText(text, nullptr);
  } else {
    whole_ += text;
  }
  if (text_.stopped()) coordinator_.Stop(*id_);
}

void CompletionAnswer::OnFinished(const SchedulerEvent& end) {
  cached_tokens_ = end.cached_tokens;
  const bool cut_off = end.reason == model::FinishReason::kLength && !text_.stopped();
  if (!over_) Finish(cut_off ? "length" : "stop");
}

void CompletionAnswer::OnFailed(const absl::Status& why) {
  if (over_) return;
  if (text_.stopped()) return Finish("stop");  // nothing that was still to come
  if (streaming_) {
    SendChunk(ErrorJson(why));
    exchange_->End();
  } else {
    RespondError(*exchange_, why);
  }
  End(ToStd(why.ToString()));
}

void CompletionAnswer::GiveUp(const absl::Status& why) {
  if (over_) return;
  if (id_.has_value()) coordinator_.Cancel(*id_);
  OnFailed(why);
}

void CompletionAnswer::Gone() {
  if (over_) return;
  coordinator_.Cancel(*id_);
  End("the client is gone");
}

void CompletionAnswer::End(std::string_view how) {
  Log(LogLevel::kInfo, "request ended",
      {{"request", head_.id},
       {"model", model_->name},
       {"how", how},
       {"generated_tokens", generated_tokens_}});
  over_ = true;
  keep_alive_.Cancel();
  ended_();
}

void CompletionAnswer::Finish(const char* reason) {
  const std::string rest = text_.Finish();
  if (streaming_) {
    if (!rest.empty() || !sent_first_) SendText(rest, nullptr);
    SendText("", reason);
    if (asked_.include_usage) {
      ordered_json chunk = Envelope(true);
      chunk["choices"] = ordered_json::array();
      chunk["usage"] = Usage();
      SendChunk(chunk);
    }
    exchange_->Write("data: [DONE]\n\n");
    exchange_->End();
  } else {
    ordered_json reply = Envelope(false);
    reply["choices"] = ordered_json::array({Choice(whole_ + rest, reason, true)});
    reply["usage"] = Usage();
    RespondJson(*exchange_, reply);
  }
  End(reason);
}

void CompletionAnswer::SendText(const std::string& text, const char* finish_reason) {
  ordered_json chunk = Envelope(true);
  chunk["choices"] = ordered_json::array({Choice(text, finish_reason, !sent_first_)});
  sent_first_ = true;
  SendChunk(chunk);
  unsent_.clear();
}

void CompletionAnswer::SendChunk(const ordered_json& chunk) {
  Write("data: " + Dump(chunk) + "\n\n");
  if (reader_paused_ || !id_.has_value() || exchange_->queued_bytes() <= kUnreadBytes) return;
  reader_paused_ = true;
  coordinator_.SetReaderPaused(*id_, true);
  exchange_->OnDrained(WhileAlive([this] {
    reader_paused_ = false;
    coordinator_.SetReaderPaused(*id_, false);
  }));
}

ordered_json CompletionAnswer::Envelope(bool chunk) const {
  const char* object = "text_completion";
  if (head_.kind == CompletionKind::kChat)
    object = chunk ? "chat.completion.chunk" : "chat.completion";
  return {
      {"id", head_.id}, {"object", object}, {"created", head_.created}, {"model", model_->name}};
}

ordered_json CompletionAnswer::Choice(const std::string& text, const char* finish_reason,
                                      bool first) const {
  ordered_json choice = {{"index", 0}};
  if (head_.kind == CompletionKind::kText) {
    choice["text"] = text;
  } else if (!streaming_) {
    choice["message"] = {{"role", "assistant"}, {"content", text}};
  } else {
    ordered_json delta = ordered_json::object();
    if (first) delta["role"] = "assistant";
    if (first || !text.empty()) delta["content"] = text;
    choice["delta"] = std::move(delta);
  }
  choice["logprobs"] = asked_.top_logprobs >= 0 && !unsent_.empty() ? Logprobs() : ordered_json();
  choice["finish_reason"] = finish_reason == nullptr ? ordered_json() : ordered_json(finish_reason);
  return choice;
}

ordered_json CompletionAnswer::Logprobs() const {
  const model::Tokenizer& tokenizer = model_->text.tokenizer();
  const auto entry = [&](const model::TokenLogprob& token) {
    const auto bytes = tokenizer.TokenBytes(token.id);
    return ordered_json{{"id", token.id},
                        {"token", tokenizer.TokenText(token.id)},
                        {"logprob", token.logprob},
                        {"bytes", std::vector<uint8_t>(bytes.begin(), bytes.end())}};
  };
  ordered_json content = ordered_json::array();
  for (const Chosen& chosen : unsent_) {
    if (chosen.logprobs.empty()) continue;
    ordered_json token = entry(chosen.logprobs.front());
    token["top_logprobs"] = ordered_json::array();
    for (size_t i = 1; i < chosen.logprobs.size(); ++i)
      token["top_logprobs"].push_back(entry(chosen.logprobs[i]));
    content.push_back(std::move(token));
  }
  return {{"content", std::move(content)}};
}

ordered_json CompletionAnswer::Usage() const {
  return {{"prompt_tokens", prompt_tokens_},
          {"completion_tokens", generated_tokens_},
          {"total_tokens", prompt_tokens_ + generated_tokens_},
          {"prompt_tokens_details", {{"cached_tokens", cached_tokens_}}}};
}

}  // namespace potluck::coordinator
