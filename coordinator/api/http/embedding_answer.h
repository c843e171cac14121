// What the client of /v1/embeddings reads: all of it at the end.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "coordinator/api/embedding.h"
#include "coordinator/api/http/http_server.h"
#include "coordinator/api/http/replies.h"

namespace potluck::coordinator {

// Single-threaded: lives on the executor, but for `gone`.
class EmbeddingAnswer final : public EmbeddingReader {
 public:
  // Answers the exchange, and holds its second argument until then.
  using Respond = std::function<void(Embeddings, std::shared_ptr<const void>)>;
  EmbeddingAnswer(std::shared_ptr<HttpExchange> exchange, Respond respond)
      : exchange_(std::move(exchange)), respond_(std::move(respond)) {}

  bool gone() const override { return exchange_->gone(); }
  void OnBegin(Embedding& embedding) override {
    under_way_ = std::make_shared<Embedding*>(&embedding);
    exchange_->OnGone([weak = std::weak_ptr(under_way_)] {
      if (const auto under_way = weak.lock()) (*under_way)->Cancel();
    });
  }
  void OnEnd(Embeddings embeddings, std::shared_ptr<const void> told) override {
    under_way_.reset();
    respond_(std::move(embeddings), std::move(told));
  }
  void OnFailed(const absl::Status& why) override {
    under_way_.reset();
    RespondError(*exchange_, why);
  }

 private:
  const std::shared_ptr<HttpExchange> exchange_;
  const Respond respond_;
  std::shared_ptr<Embedding*> under_way_;
};

}  // namespace potluck::coordinator
