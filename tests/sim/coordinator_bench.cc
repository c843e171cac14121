// The coordinator's own work for each token of many streams: the CPU time of its tasks, with the
// messages' passing in memory but without gRPC, in a simulated cluster of two stages.
//
//   coordinator_bench [--streams=16] [--tokens=400]
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "absl/time/time.h"
#include "common/check.h"
#include "tests/sim/sim_world.h"

namespace potluck::sim {
namespace {

int64_t Option(int argc, char** argv, std::string_view name, int64_t otherwise) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.starts_with(name)) return std::atoll(argument.substr(name.size()).data());
  }
  return otherwise;
}

int64_t TokensOf(const SimWorld& world) {
  int64_t tokens = 0;
  for (const auto& request : world.requests) tokens += std::ssize(request->tokens);
  return tokens;
}

void Submit(SimWorld& world, int64_t number, int64_t tokens) {
  SimRequest& request = *world.requests.emplace_back(std::make_unique<SimRequest>());
  for (int64_t i = 0; i < 50; ++i)
    request.request.prompt.push_back(static_cast<model::TokenId>(number + i));
  request.request.max_tokens = tokens;
  POTLUCK_CHECK(world.coordinator->Submit(world.instance_id, request.request, request).ok());
}

int Run(int argc, char** argv) {
  const int64_t streams = Option(argc, argv, "--streams=", 16);
  const int64_t tokens = Option(argc, argv, "--tokens=", 400);
  SimWorld world({.context_length = tokens + 100, .parallel = streams});
  world.AddWorker("a");
  world.AddWorker("b");
  world.Load();
  POTLUCK_CHECK(world.RunUntil([&] { return world.ready(); }));
  for (int64_t i = 0; i < streams; ++i) Submit(world, i, tokens);
  // The prompts, and what memory the first tokens make it take, are not counted.
  POTLUCK_CHECK(world.RunUntil([&] { return TokensOf(world) >= 20 * streams; }));
  const int64_t before = TokensOf(world);
  world.coordinator_executor->MeasureTasks();
  POTLUCK_CHECK(world.RunUntil([&] { return TokensOf(world) >= (tokens - 20) * streams; }));
  const int64_t measured = TokensOf(world) - before;
  std::printf(
      "%d streams, %d stages: %.1f us of the coordinator's CPU time for each of %d tokens\n",
      static_cast<int>(streams), static_cast<int>(world.Stages().size()),
      absl::ToDoubleMicroseconds(world.coordinator_executor->cpu_time()) /
          static_cast<double>(measured),
      static_cast<int>(measured));
  return 0;
}

}  // namespace
}  // namespace potluck::sim

int main(int argc, char** argv) { return potluck::sim::Run(argc, argv); }
