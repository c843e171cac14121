// One request for embeddings on its way: a vector for each of its inputs, a few of which are
// computed at once.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
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

namespace potluck::coordinator {

// Plain data.
struct EmbeddingRequest {
  std::string model;           // empty: whichever is loaded
  std::vector<Prompt> inputs;  // texts and token ids, at least one
};

struct Embeddings {
  std::string model_name;                   // as it was asked for
  std::vector<std::vector<float>> vectors;  // of the inputs, in their order; of length 1
  int64_t prompt_tokens = 0;
};

class Embedding;

// Who reads them. Calls are tasks of the executor but for `gone`; the last one is OnEnd or
// OnFailed.
class EmbeddingReader {
 public:
  virtual ~EmbeddingReader() = default;
  // Nobody waits for them any more. Thread-safe.
  virtual bool gone() const = 0;
  // They are being computed. It lives until the last call, or Cancel.
  virtual void OnBegin(Embedding& embedding) = 0;
  // The request counts as under way until `told` is let go of, on the executor.
  virtual void OnEnd(Embeddings embeddings, std::shared_ptr<const void> told) = 0;
  // Perhaps before it has begun.
  virtual void OnFailed(const absl::Status& why) = 0;
};

// Single-threaded: lives on the executor. Begun by Start; after `ended` has been called it may be
// destroyed.
class Embedding final : public Ongoing {
 public:
  // So much of a request is with the scheduler at a time, one input at the least: enough to fill
  // every step, and no long wait for whoever comes after it.
  static constexpr size_t kMostAtOnce = 16;
  static constexpr int64_t kMostTokensAtOnce = 2048;

  // All must outlive it.
  struct Around {
    Coordinator& coordinator;
    const ServedModels& models;
    Executor& executor;
    MetricRegistry& metrics;
  };
  // `inputs`: token ids, none empty. `model_name`: for the reader.
  Embedding(std::string model_name, Served served, std::vector<std::vector<model::TokenId>> inputs,
            std::shared_ptr<EmbeddingReader> reader, const Around& around,
            std::function<void()> ended);
  ~Embedding() override;
  Embedding(const Embedding&) = delete;
  Embedding& operator=(const Embedding&) = delete;

  void Start();
  // Nobody wants it any more: nothing more is told.
  void Cancel();
  void GiveUp(const absl::Status& why) override;

 private:
  class Input;

  // Until enough are under way.
  void SubmitMore();
  void OnInputEnd(size_t index, absl::StatusOr<std::vector<float>> vector);
  void Fail(const absl::Status& why);
  void NoteEnd(std::string_view how);

  const Served served_;
  const std::vector<std::vector<model::TokenId>> inputs_;
  const std::shared_ptr<EmbeddingReader> reader_;
  const Around around_;
  const RequestMetrics metrics_;
  const std::function<void()> ended_;
  Embeddings embeddings_;
  std::vector<std::unique_ptr<Input>> under_way_;  // by input; null: before or after
  size_t next_ = 0, num_under_way_ = 0, num_ended_ = 0;
  int64_t tokens_under_way_ = 0;
  Timer again_;  // where too many others wait
  absl::Duration started_at_;
  bool over_ = false;
};

}  // namespace potluck::coordinator
