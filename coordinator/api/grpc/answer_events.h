// What the client of Generate or Chat reads of its answer: a stream of events.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "coordinator/api/answer.h"
#include "coordinator/api/grpc/reply_calls.h"
#include "potluck/v1/inference.pb.h"

namespace potluck::coordinator {

using AnswerCallStream = ReplyStream<v1::AnswerEvent>;

// Single-threaded: lives on the executor, but for `gone`.
class AnswerEvents final : public AnswerReader {
 public:
  explicit AnswerEvents(std::shared_ptr<AnswerCallStream> call) : call_(std::move(call)) {}

  bool gone() const override { return call_->gone(); }
  void OnBegin(Answer& answer) override;
  void OnProgress(const PromptProgress& progress) override;
  void OnPiece(int choice, AnswerPiece piece) override;
  void OnChoiceEnd(int choice, model::FinishReason reason) override;
  void OnEnd() override;
  void OnFailed(const absl::Status& why) override;

 private:
  std::function<void()> WhileAlive(std::function<void()> call);
  void PauseIfUnread();

  const std::shared_ptr<AnswerCallStream> call_;
  Answer* answer_ = nullptr;  // while it is on its way
  std::vector<bool> calls_;   // by choice: it has called a tool
  bool paused_ = false;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace potluck::coordinator
