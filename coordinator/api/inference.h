// From what somebody asks to an answer or embeddings on their way, whichever way they asked: the
// model is found, texts are encoded where nothing waits for them, sequences are submitted.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/civil_time.h"
#include "common/executor.h"
#include "common/metrics.h"
#include "coordinator/api/answer.h"
#include "coordinator/api/answer_request.h"
#include "coordinator/api/embedding.h"
#include "coordinator/api/ongoing.h"
#include "coordinator/api/served_models.h"
#include "coordinator/coordinator.h"

namespace potluck::coordinator {

// Single-threaded: lives on the coordinator's executor.
class Inference {
 public:
  struct Options {
    std::function<int64_t()> unix_time;
    std::function<absl::CivilSecond()> local_time;
    std::function<uint64_t()> random;
  };
  // `reading` is where requests are read and texts encoded. All must outlive the object.
  struct Around {
    Coordinator& coordinator;
    const ServedModels& models;
    Executor& executor;
    Executor& reading;
    MetricRegistry& metrics;
  };
  Inference(Options options, const Around& around);

  // Unavailable while it is being stopped.
  absl::Status CheckTaking() const;
  // The reader hears of all that follows, errors too. `kind` begins the answer's id: "chatcmpl-".
  void Start(std::string_view kind, AnswerRequest asked, std::shared_ptr<AnswerReader> reader);
  void Embed(EmbeddingRequest asked, std::shared_ptr<EmbeddingReader> reader);

  // Runs `work`, which gives a StatusOr, elsewhere, unless `gone()` is true by then, and tells
  // `then` here what it gave, while this object lives. Both are called on another thread; what they
  // share with `then` ends here.
  template <typename Gone, typename Work, typename Then>
  void Elsewhere(Gone gone, Work work, Then then) {
    around_.reading.Post([gone = std::move(gone), work = std::move(work), then = std::move(then),
                          alive = std::weak_ptr(alive_), &executor = around_.executor]() mutable {
      std::optional<decltype(work())> result;
      if (!gone()) result = work();
      executor.Post([gone = std::move(gone), then = std::move(then), result = std::move(result),
                     alive]() mutable {
        if (result.has_value() && !alive.expired()) then(*std::move(result));
      });
    });
  }

  // What a chat template is rendered over, but for the conversation.
  model::ChatInput Now() const;

  // From now on new requests are refused. Returns how many are under way, and calls `ended`
  // once when there is none any more, perhaps at once.
  size_t StopTaking(std::function<void()> ended);
  bool stopping() const { return stopping_; }
  // Those that are under way end in this error.
  void EndAll(const absl::Status& why);

 private:
  void Submit(std::string_view kind, AnswerRequest asked, Served served,
              std::vector<model::ChatPrompt> prompts, std::shared_ptr<AnswerReader> reader);
  absl::Status CheckRoom() const;
  // It may say that it has ended in the midst of its own calls.
  std::function<void()> WhenEnded(uint64_t number);
  void TellIfAllEnded();

  const Options options_;
  const Around around_;
  uint64_t next_ = 1;
  std::map<uint64_t, std::unique_ptr<Ongoing>> ongoing_;
  bool stopping_ = false;            // no new ones are taken
  std::function<void()> all_ended_;  // to be told
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace potluck::coordinator
