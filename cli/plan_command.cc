// potluck plan: how a cluster runs a model, or would run it, and why so.
#include <cctype>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/cluster_client.h"
#include "cli/cluster_file.h"
#include "cli/command.h"
#include "cli/json_fields.h"
#include "cli/model_options.h"
#include "cli/plan_check.h"
#include "cli/plan_report.h"
#include "cli/terminal.h"
#include "common/status_macros.h"
#include "coordinator/api/load_request.h"
#include "coordinator/api/plan_json.h"
#include "model/model_file.h"
#include "partition/planner.h"

namespace potluck::cli {
namespace {

using nlohmann::ordered_json;

struct PlanOptions {
  ModelOptions model;
  std::string file;  // that describes a cluster
  ClusterOptions cluster;
  std::optional<int64_t> parallel;
  std::string objective = "latency";
  bool spread = false;
  std::string layers;
  int copies = 2;
  bool json = false;
  bool check = false;
  // Flags that were given: of a cluster that runs, about a model that would be loaded so; or only
  // about a file.
  bool wishes = false;
  bool for_file = false;
};

const std::map<std::string, partition::Objective> kObjectives = {
    {"latency", partition::Objective::kLatency}, {"throughput", partition::Objective::kThroughput}};

void PrintJson(const ordered_json& json) {
  std::cout << json.dump(2, ' ', false, ordered_json::error_handler_t::replace) << "\n";
}

// --- Of a cluster that a file describes ----------------------------------------------------------

absl::StatusOr<partition::InstanceWish> WishOf(const PlanOptions& options) {
  POTLUCK_ASSIGN_OR_RETURN(const std::string path, FindModel(options.model));
  POTLUCK_ASSIGN_OR_RETURN(const model::ModelFile file, model::OpenModelFile(path));
  POTLUCK_RETURN_IF_ERROR(file.config.status());
  partition::InstanceWish wish{.context_length = options.model.context_length,
                               .parallel = options.parallel.value_or(1),
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

absl::Status PlanFromFile(const PlanOptions& options) {
  if (options.check) {
    return UsageError(
        "--check measures a cluster that runs, and --cluster describes one that need not exist: "
        "leave one of them out");
  }
  if (options.model.model.empty())
    return UsageError("plan --cluster needs a MODEL: whose layers are to be split?");
  POTLUCK_ASSIGN_OR_RETURN(const partition::InstanceWish wish, WishOf(options));
  POTLUCK_ASSIGN_OR_RETURN(const partition::ClusterProfile cluster, ReadClusterFile(options.file));
  POTLUCK_ASSIGN_OR_RETURN(const partition::InstancePlan plan,
                           partition::PlanInstance(cluster, wish, {}));
  const ordered_json json = coordinator::PlanJson(plan);
  options.json ? PrintJson(json) : PrintPlan(json);
  return absl::OkStatus();
}

// --- Of a cluster that runs ----------------------------------------------------------------------

std::string Escaped(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) || c == '-' || c == '.' || c == '_' || c == '~') {
      escaped += c;
    } else {
      escaped += absl::StrFormat("%%%02X", byte);
    }
  }
  return escaped;
}

void PrintInstance(const ordered_json& instance) {
  const std::string trouble = Text(instance, "trouble");
  absl::PrintF("%s: %s, epoch %d%s%s\n", Text(instance, "model"), Text(instance, "state"),
               Amount(instance, "epoch"), trouble.empty() ? "" : "; ", trouble);
  const ordered_json& running = Part(instance, "running");
  const ordered_json& now = Part(instance, "now");
  if (!running.empty()) {
    absl::PrintF("\n");
    PrintPlan(running);
  }
  if (now.empty()) {
    absl::PrintF("\nplanned now: %s\n", Text(instance, "why_not"));
  } else if (Flag(instance, "moves")) {
    absl::PrintF("\nplanned now:\n\n");
    PrintPlan(now);
  } else {
    absl::PrintF("\nplanned now: the same\n");
  }
  if (const ordered_json& check = Part(instance, "check"); !check.empty()) PrintCheck(check);
}

// Adds to the entries what was measured. Of replicas one is, for the cluster chooses who answers.
absl::Status Check(const HttpClient& client, ordered_json& instances) {
  std::map<std::string, bool> measured;
  for (ordered_json& instance : instances) {
    bool& done = measured[Text(instance, "model")];
    if (Text(instance, "state") != "ready" || done) continue;
    POTLUCK_ASSIGN_OR_RETURN(instance["check"], CheckSpeed(client, instance));
    done = true;
  }
  for (const auto& [model, done] : measured) {
    if (done) continue;
    return absl::UnavailableError(absl::StrCat(
        model, " is not ready, so there is nothing to measure: see `potluck status --watch`"));
  }
  return absl::OkStatus();
}

absl::Status PlanAsIfLoaded(const PlanOptions& options, const HttpClient& client) {
  coordinator::LoadRequest request{.model = options.model.model,
                                   .context_length = options.model.context_length,
                                   .kv_dtype = KvTypeOf(options.model),
                                   .spread = options.spread,
                                   .layers = options.layers,
                                   .copies = options.copies};
  if (options.parallel.has_value()) request.parallel = *options.parallel;
  POTLUCK_ASSIGN_OR_RETURN(const HttpReply reply,
                           client.Post("/cluster/plan", coordinator::ToJson(request)));
  POTLUCK_ASSIGN_OR_RETURN(const ordered_json plan, JsonOf(reply));
  if (options.json) {
    PrintJson(plan);
    return absl::OkStatus();
  }
  absl::PrintF("not loaded; `potluck load` would bring it up so:\n\n");
  PrintPlan(plan);
  return absl::OkStatus();
}

absl::Status PlanOfRunning(const PlanOptions& options) {
  if (options.for_file)
    return UsageError("--objective and --models-dir go with --cluster FILE.json");
  const std::string& model = options.model.model;
  if (options.wishes && (model.empty() || options.check)) {
    return UsageError(
        "--ctx, --parallel, --kv-type, --spread, --layers and --copies say how a MODEL would be "
        "loaded; what runs is shown, and measured, as it is");
  }
  POTLUCK_ASSIGN_OR_RETURN(const HttpClient client, ConnectTo(options.cluster));
  if (options.wishes) return PlanAsIfLoaded(options, client);
  POTLUCK_ASSIGN_OR_RETURN(const HttpReply reply,
                           client.Get(absl::StrCat("/cluster/plan?model=", Escaped(model))));
  absl::StatusOr<ordered_json> plans = JsonOf(reply);
  if (absl::IsNotFound(plans.status()) && !options.check) return PlanAsIfLoaded(options, client);
  POTLUCK_RETURN_IF_ERROR(plans.status());
  ordered_json instances = List(*plans, "instances");
  if (instances.empty()) {
    return absl::NotFoundError(
        "no model is loaded there: `potluck load MODEL` loads one, `potluck plan MODEL` shows how "
        "it would run");
  }
  if (options.check) POTLUCK_RETURN_IF_ERROR(Check(client, instances));
  if (options.json) {
    PrintJson({{"instances", instances}});
    return absl::OkStatus();
  }
  for (size_t i = 0; i < instances.size(); ++i) {
    if (i > 0) absl::PrintF("\n\n");
    PrintInstance(instances[i]);
  }
  return absl::OkStatus();
}

// --- The flags -----------------------------------------------------------------------------------

// Notes in `given` that one of the flags was used.
void Notice(CLI::App& plan, std::initializer_list<const char*> flags, bool& given) {
  for (const char* flag : flags)
    plan.get_option(flag)->each([&given](const std::string&) { given = true; });
}

}  // namespace

void AddPlanCommand(CLI::App& app, Command& command) {
  auto options = std::make_shared<PlanOptions>();
  CLI::App* plan =
      app.add_subcommand("plan", "Show how a cluster runs a model, or would run it, and why so");
  AddModelArgument(*plan, options->model);
  plan->get_option("MODEL")->required(false);
  plan->add_option(
      "--cluster", options->file,
      "Plan for the cluster that this file, in JSON, describes (docs/cli.md), in place "
      "of one that runs");
  plan->add_flag("--check", options->check,
                 "Measure what runs, too, and show the prediction beside it");
  AddContextOptions(*plan, options->model);
  plan->add_option("--parallel", options->parallel,
                   "Sequences at once (default: 4 where a cluster runs, as of `load`; otherwise 1)")
      ->check(CLI::Range(int64_t{1}, int64_t{1024}));
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
  AddClusterOptions(*plan, options->cluster);
  Notice(*plan, {"--ctx", "--parallel", "--kv-type", "--spread", "--layers", "--copies"},
         options->wishes);
  Notice(*plan, {"--objective", "--models-dir"}, options->for_file);
  plan->footer(
      "Examples:\n  potluck plan\n  potluck plan --check\n"
      "  potluck plan another-model.gguf --spread\n"
      "  potluck plan model.gguf --cluster home.json\n"
      "  potluck plan model.gguf --cluster home.json --objective throughput --parallel 8");
  plan->callback([options, &command] {
    command = [options] {
      return options->file.empty() ? PlanOfRunning(*options) : PlanFromFile(*options);
    };
  });
}

}  // namespace potluck::cli
