#include "coordinator/api/answer.h"

#include <algorithm>
#include <utility>

#include "absl/hash/hash.h"
#include "common/log.h"
#include "common/text.h"
#include "model/tool_calls/tool_call_text.h"

namespace potluck::coordinator {
namespace {

// Nine letters and digits, for some templates take no other.
std::string CallId(const std::string& answer, int choice, int call) {
  uint64_t number = absl::HashOf(answer, choice, call);
  std::string id(9, '0');
  for (char& digit : id) {
    digit = "0123456789abcdefghijklmnopqrstuvwxyz"[number % 36];
    number /= 36;
  }
  return id;
}

bool IsSameStage(const AnswerUsage::Stage& a, const AnswerUsage::Stage& b) {
  return a.worker == b.worker && a.device == b.device && a.first_layer == b.first_layer &&
         a.last_layer == b.last_layer;
}

std::vector<std::string> NamesOf(const model::ToolUse& use) {
  std::vector<std::string> names;
  for (const model::Tool& tool : use.tools) names.push_back(tool.name);
  return names;
}

}  // namespace

class Answer::Choice final : public RequestEvents {
 public:
  Choice(Answer& answer, int index, bool reasons)
      : answer_(answer),
        index_(index),
        text_(answer.model_->text.tokenizer(), answer.asked_.stop),
        reasoning_(reasons) {
    if (answer.asked_.tools.may_call())
      calls_.emplace(answer.model_->text.tool_format(), NamesOf(answer.asked_.tools));
  }
  ~Choice() override { Cancel(); }

  absl::Status Submit(model::InstanceId instance, SequenceRequest request) {
    auto id = answer_.around_.coordinator.Submit(instance, std::move(request), *this);
    if (id.ok()) id_ = *id;
    return id.status();
  }
  void Cancel() {
    if (id_.has_value() && !ended_) answer_.around_.coordinator.Cancel(*id_);
    ended_ = true;
  }
  void SetReaderPaused(bool paused) {
    if (id_.has_value() && !ended_) answer_.around_.coordinator.SetReaderPaused(*id_, paused);
  }

  void OnProgress(const SchedulerEvent& progress) override {
    cached_tokens = progress.cached_tokens;
    if (!answer_.admitted_at_) answer_.admitted_at_ = answer_.now();
    answer_.reader_->OnProgress({.prompt_tokens = progress.prompt_tokens,
                                 .cached_tokens = progress.cached_tokens,
                                 .computed_tokens = progress.computed_tokens,
                                 .time = answer_.now() - answer_.started_at_});
  }

  void OnToken(model::TokenId token, const std::vector<model::TokenLogprob>& logprobs) override {
    if (ended_ || text_.stopped()) return;
    Count();
    if (answer_.asked_.top_logprobs >= 0) unsent_.push_back({token, logprobs});
    if (AnswerPiece piece = WithCalls(Split(text_.Feed(token))); !piece.empty())
      Tell(std::move(piece));
    if (text_.stopped() && !ended_) answer_.around_.coordinator.Stop(*id_);
  }

  void OnFinished(const SchedulerEvent& end) override {
    cached_tokens = end.cached_tokens;
    CountEnd(end);
    answer_.AddTimes(end.stage_times);
    if (end.admitted_at.has_value() &&
        (!answer_.admitted_at_ || *end.admitted_at < *answer_.admitted_at_))
      answer_.admitted_at_ = end.admitted_at;
    Finish(text_.stopped() ? model::FinishReason::kStop : end.reason);
  }

  void OnFailed(const absl::Status& why) override {
    if (text_.stopped()) return Finish(model::FinishReason::kStop);  // nothing was still to come
    ended_ = true;
    answer_.Fail(why);
  }

  int index() const { return index_; }

  int64_t generated_tokens = 0, cached_tokens = 0;

 private:
  // A token has come.
  void Count() {
    const absl::Duration now = answer_.now();
    const RequestMetrics& metrics = answer_.around_.metrics;
    metrics.generated_tokens.Add(1);
    if (++generated_tokens == 1) {
      first_token_at_ = now;
      metrics.time_to_first_token.Observe(absl::ToDoubleSeconds(now - answer_.started_at_));
      if (!answer_.first_token_at_) answer_.first_token_at_ = now;
    } else {
      metrics.inter_token.Observe(absl::ToDoubleSeconds(now - last_token_at_));
    }
    last_token_at_ = answer_.last_token_at_ = now;
  }

  void CountEnd(const SchedulerEvent& end) {
    const RequestMetrics& metrics = answer_.around_.metrics;
    metrics.prompt_tokens.Add(end.prompt_tokens);
    metrics.cached_tokens.Add(end.cached_tokens);
    metrics.end_to_end.Observe(absl::ToDoubleSeconds(answer_.now() - answer_.started_at_));
    if (!end.admitted_at.has_value()) return;
    metrics.queue.Observe(absl::ToDoubleSeconds(*end.admitted_at - answer_.started_at_));
    if (generated_tokens > 0)
      metrics.prefill.Observe(absl::ToDoubleSeconds(first_token_at_ - *end.admitted_at));
  }

  model::ReasoningText::Piece Split(std::string text) {
    if (!answer_.asked_.split_reasoning) return {.reasoning = {}, .text = std::move(text)};
    return reasoning_.Feed(text);
  }

  AnswerPiece WithCalls(model::ReasoningText::Piece said) {
    AnswerPiece piece{.reasoning = std::move(said.reasoning), .text = std::move(said.text)};
    if (calls_.has_value()) AddCalls(calls_->Feed(std::exchange(piece.text, {})), piece);
    return piece;
  }

  void AddCalls(model::ToolCallText::Piece read, AnswerPiece& piece) const {
    piece.text += read.text;
    for (model::ToolCallText::Call& call : read.calls) {
      std::string id = call.name.empty() ? "" : CallId(answer_.head_.id, index_, call.index);
      piece.calls.push_back({.index = call.index,
                             .id = std::move(id),
                             .name = std::move(call.name),
                             .arguments = std::move(call.arguments)});
    }
  }

  void Tell(AnswerPiece piece) {
    piece.tokens = std::exchange(unsent_, {});
    answer_.reader_->OnPiece(index_, std::move(piece));
  }

  void Finish(model::FinishReason reason) {
    if (ended_) return;
    model::ReasoningText::Piece rest = Split(text_.Finish());
    if (answer_.asked_.split_reasoning) {
      model::ReasoningText::Piece held = reasoning_.Flush();
      rest.reasoning += held.reasoning;
      rest.text += held.text;
    }
    AnswerPiece piece = WithCalls(std::move(rest));
    if (calls_.has_value()) AddCalls(calls_->Flush(), piece);
    // Of tokens that end without text there may still be logprobs.
    if (!piece.empty() || !unsent_.empty()) Tell(std::move(piece));
    ended_ = true;
    (reason == model::FinishReason::kLength ? answer_.around_.metrics.cut_off
                                            : answer_.around_.metrics.stopped)
        .Add(1);
    answer_.OnChoiceEnd(*this, reason);
  }

  Answer& answer_;
  const int index_;
  std::optional<Coordinator::RequestId> id_;
  model::AnswerText text_;
  model::ReasoningText reasoning_;
  std::optional<model::ToolCallText> calls_;  // where it may call
  std::vector<ChosenToken> unsent_;           // that no piece has told
  absl::Duration first_token_at_, last_token_at_;
  bool ended_ = false;
};

Answer::Answer(Head head, AnswerRequest asked, std::shared_ptr<const ServedModel> model,
               std::shared_ptr<AnswerReader> reader, const Around& around,
               std::function<void()> ended)
    : head_(std::move(head)),
      asked_(std::move(asked)),
      model_(std::move(model)),
      reader_(std::move(reader)),
      around_(around),
      ended_(std::move(ended)),
      started_at_(now()) {}

Answer::~Answer() = default;

void Answer::Start(model::InstanceId instance, std::vector<model::ChatPrompt> prompts,
                   const SequenceRequest& request) {
  instance_ = instance;
  absl::Status status;
  for (model::ChatPrompt& prompt : prompts) {
    prompt_tokens_ += static_cast<int64_t>(prompt.ids.size());
    for (int32_t n = 0; status.ok() && n < asked_.choices; ++n) {
      choices_.push_back(std::make_unique<Choice>(*this, static_cast<int>(choices_.size()),
                                                  prompt.opens_reasoning));
      SequenceRequest sequence = request;
      sequence.prompt = prompt.ids;
      sequence.choice = n;
      status = choices_.back()->Submit(instance, std::move(sequence));
    }
  }
  if (!status.ok()) return Fail(status);
  begun_ = true;
  reader_->OnBegin(*this);
}

void Answer::AddTimes(const StageTimes& times) {
  for (const Instance* instance : around_.coordinator.instances()) {
    if (instance->model().id != instance_ || instance->pipeline() == nullptr) continue;
    const std::vector<partition::StagePlan>& stages = instance->pipeline()->plan.stages;
    if (stages.size() != times.by_stage.size()) return;
    std::vector<AnswerUsage::Stage> present;
    for (const partition::StagePlan& stage : stages)
      present.push_back({.worker = stage.name,
                         .device = stage.device_id.substr(stage.worker_id.size() + 1),
                         .first_layer = stage.first_layer,
                         .last_layer = stage.last_layer});
    // What another choice took under a former plan is left out.
    if (!std::ranges::equal(stages_, present, IsSameStage)) stages_ = std::move(present);
    for (size_t i = 0; i < stages.size(); ++i) {
      AnswerUsage::Stage& stage = stages_[i];
      stage.steps += times.steps;
      stage.computing_seconds += times.by_stage[i].computing_seconds;
      stage.waiting_seconds += times.by_stage[i].waiting_seconds;
    }
  }
}

void Answer::OnChoiceEnd(Choice& choice, model::FinishReason reason) {
  reader_->OnChoiceEnd(choice.index(), reason);
  if (++num_ended_ < choices_.size() || over_) return;
  reader_->OnEnd();
  End(ToString(reason));
}

void Answer::Cancel() {
  if (over_) return;
  around_.metrics.cancelled.Add(1);
  End("the client is gone");
}

void Answer::GiveUp(const absl::Status& why) {
  if (!over_) Fail(why);
}

void Answer::Fail(const absl::Status& why) {
  if (over_) return;
  if (begun_) around_.metrics.failed.Add(1);
  reader_->OnFailed(why);
  End(ToStd(why.ToString()));
}

void Answer::SetReaderPaused(bool paused) {
  for (const auto& choice : choices_) choice->SetReaderPaused(paused);
}

void Answer::End(std::string_view how) {
  over_ = true;
  for (const auto& choice : choices_) choice->Cancel();
  Log(LogLevel::kInfo, "request ended",
      {{"request", head_.id},
       {"model", model_->name},
       {"how", how},
       {"generated_tokens", usage().generated_tokens}});
  ended_();
}

AnswerUsage Answer::usage() const {
  AnswerUsage usage;
  usage.prompt_tokens = prompt_tokens_;
  usage.stages = stages_;
  for (const auto& choice : choices_) {
    usage.generated_tokens += choice->generated_tokens;
    // The other choices of a prompt share what the first has computed.
    if (choice->index() % asked_.choices == 0) usage.cached_tokens += choice->cached_tokens;
  }
  const absl::Duration admitted = admitted_at_.value_or(started_at_);
  usage.queue_time = admitted - started_at_;
  if (first_token_at_.has_value()) {
    usage.prompt_time = *first_token_at_ - admitted;
    usage.generation_time = last_token_at_ - *first_token_at_;
  }
  return usage;
}

}  // namespace potluck::coordinator
