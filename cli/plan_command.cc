// potluck plan: how a cluster would run a model, and why so.
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/cluster_file.h"
#include "cli/command.h"
#include "cli/model_options.h"
#include "cli/terminal.h"
#include "common/status_macros.h"
#include "model/model_file.h"
#include "partition/amounts.h"
#include "partition/planner.h"

namespace potluck::cli {
namespace {

using nlohmann::ordered_json;
using partition::InstancePlan;
using partition::Seconds;
using partition::StagePlan;

struct PlanOptions {
  ModelOptions model;
  std::string cluster;
  int64_t parallel = 1;
  std::string objective = "latency";
  bool spread = false;
  std::string layers;
  int copies = 2;
  bool json = false;
};

const std::map<std::string, partition::Objective> kObjectives = {
    {"latency", partition::Objective::kLatency}, {"throughput", partition::Objective::kThroughput}};

std::string LayersOf(const StagePlan& stage) {
  std::string text = partition::Layers(stage.first_layer, stage.last_layer);
  if (stage.has_embedding) text += " + embedding";
  if (stage.has_head) text += " + head";
  return text;
}

void PrintStages(const InstancePlan& plan) {
  absl::PrintF("%-16s %-32s %10s %10s %10s %10s\n", "device", "layers", "weights", "KV", "buffers",
               "may take");
  for (const StagePlan& stage : plan.stages) {
    absl::PrintF("%-16s %-32s %10s %10s %10s %10s\n", stage.device_id, LayersOf(stage),
                 partition::Bytes(stage.weight_bytes), partition::Bytes(stage.kv_bytes),
                 partition::Bytes(stage.activation_bytes + stage.replay_bytes),
                 partition::Bytes(stage.allowed_bytes));
  }
}

void PrintSpeeds(const InstancePlan& plan) {
  const partition::Prediction& prediction = plan.prediction;
  absl::PrintF("\ndecode   %s tokens/s for one stream, %d tokens into it\n",
               partition::Digits(prediction.decode_tokens_per_second), prediction.depth);
  if (plan.parallel > 1) {
    absl::PrintF("         %s tokens/s for %d together, %d %s in flight\n",
                 partition::Digits(prediction.together_tokens_per_second), plan.parallel,
                 prediction.steps_in_flight, prediction.steps_in_flight == 1 ? "step" : "steps");
  }
  absl::PrintF("prefill  %s tokens/s for a prompt of %d tokens\n",
               partition::Digits(prediction.prefill_tokens_per_second), prediction.prompt_tokens);
}

void PrintTimes(const InstancePlan& plan) {
  absl::PrintF("\nwhere the time goes%-29s %10s %16s\n", "", "a token",
               absl::StrCat(plan.prediction.chunk_tokens, " of a prompt"));
  for (size_t i = 0; i < plan.hops.size(); ++i) {
    const partition::HopPlan& hop = plan.hops[i];
    absl::PrintF("  %-46s %10s %16s\n",
                 absl::StrCat(hop.from, " -> ", hop.to, hop.relayed ? " (relayed)" : ""),
                 Seconds(hop.decode_seconds), Seconds(hop.prefill_seconds));
    if (i == plan.stages.size()) break;
    const StagePlan& stage = plan.stages[i];
    absl::PrintF("  %-46s %10s %16s\n", absl::StrCat(stage.device_id, " computes"),
                 Seconds(stage.decode_seconds), Seconds(stage.prefill_seconds));
  }
}

void PrintLosses(const InstancePlan& plan) {
  absl::PrintF("\nif a worker is lost\n");
  for (const partition::WorkerLoss& loss : plan.losses) {
    absl::PrintF("  %s: %s: %s\n", loss.name, loss.survived ? "it goes on" : "it stops", loss.how);
  }
  for (const StagePlan& stage : plan.stages) {
    std::vector<std::string> names;
    for (const partition::Standby& standby : stage.standby) names.push_back(standby.device_id);
    if (names.empty()) continue;
    absl::PrintF("  standby for %s: %s\n", partition::Layers(stage.first_layer, stage.last_layer),
                 absl::StrJoin(names, ", "));
  }
}

void PrintText(const InstancePlan& plan) {
  absl::PrintF("%s on %d of %d devices; context %d tokens, %d at once\n\n", plan.model,
               plan.stages.size(), plan.stages.size() + plan.left_out.size(), plan.context_length,
               plan.parallel);
  PrintStages(plan);
  PrintSpeeds(plan);
  PrintTimes(plan);
  if (!plan.left_out.empty()) absl::PrintF("\nleft out\n");
  for (const partition::LeftOut& left_out : plan.left_out)
    absl::PrintF("  %s: %s\n", left_out.device_id, left_out.reason);
  PrintLosses(plan);
  if (!plan.notes.empty()) absl::PrintF("\nnotes\n");
  for (const std::string& note : plan.notes) absl::PrintF("  %s\n", note);
}

ordered_json StageJson(const StagePlan& stage) {
  ordered_json standby = ordered_json::array();
  for (const partition::Standby& choice : stage.standby) {
    standby.push_back({{"worker", choice.worker_id},
                       {"device", choice.device_id},
                       {"fits_in_memory", choice.fits_in_memory}});
  }
  return {{"worker", stage.worker_id},
          {"device", stage.device_id},
          {"name", stage.name},
          {"layers", {stage.first_layer, stage.last_layer}},
          {"embedding", stage.has_embedding},
          {"head", stage.has_head},
          {"weight_bytes", stage.weight_bytes},
          {"kv_bytes", stage.kv_bytes},
          {"activation_bytes", stage.activation_bytes},
          {"replay_bytes", stage.replay_bytes},
          {"allowed_bytes", stage.allowed_bytes},
          {"decode_seconds", stage.decode_seconds},
          {"prefill_seconds", stage.prefill_seconds},
          {"standby", std::move(standby)}};
}

void PrintJson(const InstancePlan& plan) {
  const partition::Prediction& prediction = plan.prediction;
  ordered_json result = {{"model", plan.model},
                         {"context_length", plan.context_length},
                         {"parallel", plan.parallel},
                         {"exact", plan.exact},
                         {"prediction",
                          {{"decode_tokens_per_second", prediction.decode_tokens_per_second},
                           {"together_tokens_per_second", prediction.together_tokens_per_second},
                           {"steps_in_flight", prediction.steps_in_flight},
                           {"prefill_tokens_per_second", prediction.prefill_tokens_per_second},
                           {"depth", prediction.depth},
                           {"prompt_tokens", prediction.prompt_tokens},
                           {"chunk_tokens", prediction.chunk_tokens}}},
                         {"stages", ordered_json::array()},
                         {"hops", ordered_json::array()},
                         {"left_out", ordered_json::array()},
                         {"losses", ordered_json::array()},
                         {"notes", plan.notes}};
  for (const StagePlan& stage : plan.stages) result["stages"].push_back(StageJson(stage));
  for (const partition::HopPlan& hop : plan.hops) {
    result["hops"].push_back({{"from", hop.from},
                              {"to", hop.to},
                              {"relayed", hop.relayed},
                              {"decode_seconds", hop.decode_seconds},
                              {"prefill_seconds", hop.prefill_seconds}});
  }
  for (const partition::LeftOut& left_out : plan.left_out)
    result["left_out"].push_back({{"device", left_out.device_id}, {"reason", left_out.reason}});
  for (const partition::WorkerLoss& loss : plan.losses) {
    result["losses"].push_back(
        {{"worker", loss.worker_id}, {"survived", loss.survived}, {"how", loss.how}});
  }
  std::cout << result.dump(2, ' ', false, ordered_json::error_handler_t::replace) << "\n";
}

absl::StatusOr<partition::InstanceWish> WishOf(const PlanOptions& options) {
  POTLUCK_ASSIGN_OR_RETURN(const std::string path, FindModel(options.model));
  POTLUCK_ASSIGN_OR_RETURN(const model::ModelFile file, model::OpenModelFile(path));
  POTLUCK_RETURN_IF_ERROR(file.config.status());
  partition::InstanceWish wish{.context_length = options.model.context_length,
                               .parallel = options.parallel,
                               .kv_dtype = KvTypeOf(options.model),
                               .objective = kObjectives.at(options.objective),
                               .spread = options.spread,
                               .copies = options.copies};
  POTLUCK_ASSIGN_OR_RETURN(wish.model,
                           partition::MakeModelShape(file.name, *file.config, *file.weights));
  if (options.layers.empty()) return wish;
  auto layers = partition::ParseLayerWishes(options.layers);
  if (!layers.ok()) return UsageError(absl::StrCat("--layers: ", layers.status().message()));
  wish.layers = *std::move(layers);
  return wish;
}

absl::Status Plan(const PlanOptions& options) {
  if (options.cluster.empty()) {
    return UsageError(
        "plan needs --cluster FILE.json, which describes devices and links (docs/cli.md); of a "
        "running cluster, `potluck status` shows the plan");
  }
  POTLUCK_ASSIGN_OR_RETURN(const partition::InstanceWish wish, WishOf(options));
  POTLUCK_ASSIGN_OR_RETURN(const partition::ClusterProfile cluster,
                           ReadClusterFile(options.cluster));
  POTLUCK_ASSIGN_OR_RETURN(const InstancePlan plan, partition::PlanInstance(cluster, wish, {}));
  options.json ? PrintJson(plan) : PrintText(plan);
  return absl::OkStatus();
}

}  // namespace

void AddPlanCommand(CLI::App& app, Command& command) {
  auto options = std::make_shared<PlanOptions>();
  CLI::App* plan = app.add_subcommand("plan", "Show how a cluster would run a model, and why so");
  AddModelArgument(*plan, options->model);
  plan->add_option("--cluster", options->cluster,
                   "The file, in JSON, that describes devices and links (docs/cli.md)");
  AddContextOptions(*plan, options->model);
  plan->add_option("--parallel", options->parallel, "Sequences at once")
      ->check(CLI::Range(int64_t{1}, int64_t{1024}))
      ->capture_default_str();
  plan->add_option("--objective", options->objective,
                   "latency: the soonest token of one stream; throughput: most tokens of all")
      ->check(CLI::IsMember({"latency", "throughput"}))
      ->capture_default_str();
  plan->add_flag("--spread", options->spread, "Use every device that can hold a layer");
  plan->add_option("--layers", options->layers,
                   "Your own split: NAME=FIRST-LAST or NAME=N, from 0, with commas between");
  plan->add_option("--copies", options->copies, "Devices that keep each layer's weights")
      ->check(CLI::Range(1, 16))
      ->capture_default_str();
  plan->add_flag("--json", options->json, "Print one JSON object");
  plan->footer(
      "Examples:\n  potluck plan model.gguf --cluster home.json\n"
      "  potluck plan model.gguf --cluster home.json --objective throughput --parallel 8");
  plan->callback([options, &command] { command = [options] { return Plan(*options); }; });
}

}  // namespace potluck::cli
