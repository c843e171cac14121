// Brings workers' metrics here over their control links, for a Prometheus that does not reach them.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/executor.h"
#include "wire/messages.h"

namespace potluck::coordinator {

// Single-threaded: lives on its executor.
class MetricsRelay {
 public:
  static constexpr absl::Duration kPatience = absl::Seconds(5);
  static constexpr size_t kMostWaiting = 1024;

  // False where there is no link to that worker now.
  using Send = std::function<bool(const wire::WorkerId& worker, wire::Message message)>;
  using Done = std::function<void(absl::StatusOr<std::string> text)>;

  // `executor` must outlive the object.
  MetricsRelay(Executor& executor, Send send) : executor_(executor), send_(std::move(send)) {}

  // In Prometheus' text format. Unavailable where the worker is not here or goes before it has
  // answered, DeadlineExceeded where it is silent, ResourceExhausted where too many wait.
  void Ask(const wire::WorkerId& worker, Done done);
  // Answers that nobody waits for are dropped.
  void OnReply(const wire::WorkerId& worker, wire::MetricsReply reply);
  void OnLost(const wire::WorkerId& worker);

 private:
  struct Waiting {
    Waiting(wire::WorkerId asked, int64_t request, Done answer, Executor& executor)
        : worker(std::move(asked)), number(request), done(std::move(answer)), patience(executor) {}
    wire::WorkerId worker;
    int64_t number;
    Done done;
    Timer patience;
  };
  using Place = std::list<Waiting>::iterator;
  void End(Place place, absl::StatusOr<std::string> text);

  Executor& executor_;
  const Send send_;
  int64_t next_ = 1;
  std::list<Waiting> waiting_;
};

}  // namespace potluck::coordinator
