// One request for answers on its way: from the coordinator's tokens to text, of one choice or of
// several at once.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/executor.h"
#include "coordinator/api/answer_request.h"
#include "coordinator/api/ongoing.h"
#include "coordinator/api/request_metrics.h"
#include "coordinator/api/served_models.h"
#include "coordinator/coordinator.h"
#include "model/generation/answer_text.h"
#include "model/generation/reasoning_text.h"

namespace potluck::coordinator {

struct ChosenToken {
  model::TokenId id = 0;
  std::vector<model::TokenLogprob> logprobs;  // its own first, then the likeliest
};

// A call of a tool, or how it goes on.
struct AnswerCall {
  int index = 0;          // of the choice's calls
  std::string id, name;   // at its beginning only
  std::string arguments;  // JSON, the next part of its text
};

// New text of one choice; any part may be empty.
struct AnswerPiece {
  std::string reasoning, text;
  std::vector<AnswerCall> calls;
  std::vector<ChosenToken> tokens;  // since the last piece, where their logprobs were asked for

  bool empty() const { return reasoning.empty() && text.empty() && calls.empty(); }
};

// Of all choices together, as far as they have come.
struct AnswerUsage {
  // Where the time of its steps went, others' tokens with them.
  struct Stage {
    std::string worker, device;  // names
    int64_t first_layer = 0, last_layer = 0;
    int64_t steps = 0;
    double computing_seconds = 0, waiting_seconds = 0;
  };
  int64_t prompt_tokens = 0;  // each prompt once
  int64_t cached_tokens = 0;  // of them, that needed no computing
  int64_t generated_tokens = 0;
  absl::Duration queue_time, prompt_time, generation_time;
  std::vector<Stage>
      stages;  // in their order, of choices that have ended, since the last change of plan
};

// How far a prompt is.
struct PromptProgress {
  int64_t prompt_tokens = 0, cached_tokens = 0, computed_tokens = 0;
  absl::Duration time;  // since the request came
};

class Answer;

// Who reads it. Calls are tasks of the executor but for `gone`.
class AnswerReader {
 public:
  // One that has more than so much unread is to be paused: nobody is computed for who does not
  // read.
  static constexpr size_t kMostUnreadBytes = 64 << 10;

  virtual ~AnswerReader() = default;
  // Nobody waits for it any more. Thread-safe.
  virtual bool gone() const = 0;
  // It has been taken; the rest follows. The answer lives until OnEnd, OnFailed or Cancel.
  virtual void OnBegin(Answer& answer) = 0;
  virtual void OnProgress(const PromptProgress& progress) = 0;
  virtual void OnPiece(int choice, AnswerPiece piece) = 0;
  virtual void OnChoiceEnd(int choice, model::FinishReason reason) = 0;
  // All choices have ended.
  virtual void OnEnd() = 0;
  // Perhaps before it has begun.
  virtual void OnFailed(const absl::Status& why) = 0;
};

// Single-threaded: lives on the executor. Begun by Start; after `ended` has been called it may be
// destroyed.
class Answer final : public Ongoing {
 public:
  struct Head {
    std::string id;          // "chatcmpl-..."
    std::string model_name;  // as it was asked for
    int64_t created = 0;     // Unix time
  };
  // All must outlive the answer.
  struct Around {
    Coordinator& coordinator;
    Executor& executor;
    RequestMetrics metrics;
  };
  Answer(Head head, AnswerRequest asked, std::shared_ptr<const ServedModel> model,
         std::shared_ptr<AnswerReader> reader, const Around& around, std::function<void()> ended);
  ~Answer() override;
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;

  // Submits a sequence for every choice: prompt by prompt, the choices of each side by side.
  // `request` lacks its prompt.
  void Start(model::InstanceId instance, std::vector<model::ChatPrompt> prompts,
             const SequenceRequest& request);
  // Nobody wants it any more: nothing more is told.
  void Cancel();
  void GiveUp(const absl::Status& why) override;
  // One that is paused generates nothing.
  void SetReaderPaused(bool paused);

  const Head& head() const { return head_; }
  const ServedModel& model() const { return *model_; }
  const AnswerRequest& asked() const { return asked_; }
  AnswerUsage usage() const;

 private:
  class Choice;

  void AddTimes(const StageTimes& times);
  void OnChoiceEnd(Choice& choice, model::FinishReason reason);
  void Fail(const absl::Status& why);
  void End(std::string_view how);
  absl::Duration now() const { return around_.executor.clock().SinceStart(); }

  const Head head_;
  const AnswerRequest asked_;
  const std::shared_ptr<const ServedModel> model_;
  const std::shared_ptr<AnswerReader> reader_;
  const Around around_;
  const std::function<void()> ended_;
  std::vector<std::unique_ptr<Choice>> choices_;
  model::InstanceId instance_ = 0;
  int64_t prompt_tokens_ = 0;
  std::vector<AnswerUsage::Stage> stages_;
  absl::Duration started_at_;
  std::optional<absl::Duration> admitted_at_, first_token_at_;
  absl::Duration last_token_at_;
  size_t num_ended_ = 0;
  bool begun_ = false;  // it has been taken
  bool over_ = false;
};

}  // namespace potluck::coordinator
