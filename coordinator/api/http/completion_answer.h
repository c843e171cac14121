// One request of /v1/completions or /v1/chat/completions on its way: from the coordinator's tokens
// to what the client reads, whole or as a stream of server-sent events.
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
#include "coordinator/api/http/completion_request.h"
#include "coordinator/api/http/http_server.h"
#include "coordinator/coordinator.h"
#include "coordinator/library/model_library.h"
#include "model/generation/answer_text.h"

namespace potluck::coordinator {

struct AnswerHead {
  CompletionKind kind = CompletionKind::kText;
  std::string id;  // "cmpl-..."
  int64_t created = 0;
};

// Single-threaded: lives on the executor. Begun by Start; after `ended` has been called it may be
// destroyed.
class CompletionAnswer final : public RequestEvents {
 public:
  CompletionAnswer(AnswerHead head, CompletionRequest asked,
                   std::shared_ptr<const ServedModel> model, std::shared_ptr<HttpExchange> exchange,
                   Coordinator& coordinator, Executor& executor, std::function<void()> ended);
  ~CompletionAnswer() override;

  // Submits it, or answers with an error.
  void Start(model::InstanceId instance, SequenceRequest request);
  // Ends it with an error, if it has not ended.
  void GiveUp(const absl::Status& why);

  void OnToken(model::TokenId token, const std::vector<model::TokenLogprob>& logprobs) override;
  void OnFinished(const SchedulerEvent& end) override;
  void OnFailed(const absl::Status& why) override;

 private:
  struct Chosen {
    model::TokenId token;
    std::vector<model::TokenLogprob> logprobs;
  };

  nlohmann::ordered_json Envelope(bool chunk) const;
  nlohmann::ordered_json Choice(const std::string& text, const char* finish_reason,
                                bool first) const;
  nlohmann::ordered_json Logprobs() const;
  nlohmann::ordered_json Usage() const;
  void SendChunk(const nlohmann::ordered_json& chunk);
  void SendText(const std::string& text, const char* finish_reason);
  void Write(std::string bytes);
  std::function<void()> WhileAlive(std::function<void()> call);
  void Finish(const char* reason);
  void Gone();
  void KeepAlive();
  void End(std::string_view how);

  const AnswerHead head_;
  const CompletionRequest asked_;
  const std::shared_ptr<const ServedModel> model_;
  const std::shared_ptr<HttpExchange> exchange_;
  Coordinator& coordinator_;
  Executor& executor_;
  std::function<void()> ended_;
  std::optional<Coordinator::RequestId> id_;
  model::AnswerText text_;
  std::string whole_;           // of a reply that is no stream
  std::vector<Chosen> unsent_;  // tokens whose logprobs have not been sent
  int64_t prompt_tokens_ = 0, cached_tokens_ = 0, generated_tokens_ = 0;
  bool streaming_ = false, sent_first_ = false, reader_paused_ = false, over_ = false;
  absl::Duration last_write_at_;
  Timer keep_alive_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace potluck::coordinator
