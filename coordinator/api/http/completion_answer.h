// What the client of /v1/completions or /v1/chat/completions reads of its answer: the whole at its
// end, or a stream of server-sent events.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/executor.h"
#include "coordinator/api/answer.h"
#include "coordinator/api/http/completion_json.h"
#include "coordinator/api/http/completion_request.h"
#include "coordinator/api/http/http_server.h"

namespace potluck::coordinator {

// Single-threaded: lives on the executor, but for `gone`.
class CompletionAnswer final : public AnswerReader {
 public:
  // Of `asked` all but `answer` is looked at.
  CompletionAnswer(const CompletionRequest& asked, std::string fingerprint,
                   std::shared_ptr<HttpExchange> exchange, Executor& executor);

  bool gone() const override { return exchange_->gone(); }
  void OnBegin(Answer& answer) override;
  void OnProgress(const PromptProgress& progress) override;
  void OnPiece(int index, AnswerPiece piece) override;
  void OnChoiceEnd(int index, model::FinishReason reason) override;
  void OnEnd() override;
  void OnFailed(const absl::Status& why) override;

 private:
  // Of a whole reply what has come so far; of a stream what its chunks are to go on from.
  struct Choice {
    CompletionChoice said;
    bool begun = false;  // its role has been told
    bool calls = false;  // it has called a tool
  };

  bool streams() const { return asked_.stream; }
  nlohmann::ordered_json Chunk(nlohmann::ordered_json choices) const;
  void SendChoice(CompletionChoice choice);
  void Send(const nlohmann::ordered_json& event);
  void Write(std::string bytes);
  std::function<void()> WhileAlive(std::function<void()> call);
  void PauseIfUnread();
  void KeepAlive();

  const CompletionRequest asked_;
  const std::string fingerprint_;
  const std::shared_ptr<HttpExchange> exchange_;
  Executor& executor_;
  Answer* answer_ = nullptr;  // while it is on its way
  std::vector<Choice> choices_;
  size_t num_ended_ = 0;
  bool paused_ = false;
  absl::Duration last_write_at_;
  Timer keep_alive_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace potluck::coordinator
