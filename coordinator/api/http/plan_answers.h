// What the planner knows of a running cluster:
//
//   GET  /cluster/plan?model=NAME&prompt_tokens=N&depth=N
//        of what is loaded: how it runs, and what the planner would do now. With lengths, also how
//        fast it ought to be for them.
//   POST /cluster/plan
//        load_request.h: what loading a model would come to, without loading it
//
// The answers are made on a thread for them, so that no token waits.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/executor.h"
#include "coordinator/api/http/http_server.h"
#include "coordinator/coordinator.h"

namespace potluck::coordinator {

struct PlansAsked {
  std::string model;                     // its name or its file's path; empty: all
  int64_t prompt_tokens = 0, depth = 0;  // 0: no lengths
};

// From a query, still escaped. InvalidArgument, naming the key; unknown ones are left alone.
absl::StatusOr<PlansAsked> ParsePlansAsked(std::string_view query);

// Tasks that answer an exchange, for that thread: they know all that they need.
//
// {"instances": [{"id", "model", "state", "epoch", "vocab_size", "requests", "running", "now",
// "moves", "expected", "trouble"}]}: docs/cli.md describes it.
Executor::Task AnswerPlans(const Coordinator& coordinator,
                           const std::vector<model::InstanceId>& instances, const PlansAsked& asked,
                           std::shared_ptr<HttpExchange> exchange);
// The plan (plan_json.h) for a model's file. Reads its header.
Executor::Task AnswerForesight(const Coordinator& coordinator, partition::InstanceWish wish,
                               const std::string& path, std::shared_ptr<HttpExchange> exchange);

}  // namespace potluck::coordinator
