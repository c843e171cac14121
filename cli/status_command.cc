// potluck status: who is in the cluster, what runs where, and what it survives.
#include <algorithm>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/cluster_client.h"
#include "cli/command.h"
#include "cli/json_fields.h"
#include "cli/terminal.h"
#include "common/status_macros.h"
#include "partition/amounts.h"

namespace potluck::cli {
namespace {

using nlohmann::ordered_json;

constexpr absl::Duration kWatchInterval = absl::Seconds(2);

struct StatusOptions {
  ClusterOptions cluster;
  bool watch = false;
  bool json = false;
};

// "the loss of desk or pi4; not of nas"
std::string Survival(const ordered_json& instance) {
  std::vector<std::string> survived, not_survived;
  for (const ordered_json& loss : List(instance, "losses")) {
    (Flag(loss, "survived") ? survived : not_survived).push_back(Text(loss, "name"));
  }
  if (survived.empty()) return not_survived.empty() ? "" : "no loss of a worker";
  std::string text = absl::StrCat("the loss of ", absl::StrJoin(survived, " or "));
  if (!not_survived.empty()) text += absl::StrCat("; not of ", absl::StrJoin(not_survived, " or "));
  return text;
}

void PrintInstance(const ordered_json& instance) {
  const std::string loaded =
      instance.contains("loaded")
          ? absl::StrFormat(" (%d%% loaded)", static_cast<int>(100 * Number(instance, "loaded")))
          : "";
  absl::PrintF("\n%s (instance %d): %s%s\n", Text(instance, "model"), Amount(instance, "id"),
               Text(instance, "state"), loaded);
  if (const std::string trouble = Text(instance, "trouble"); !trouble.empty())
    absl::PrintF("  %s\n", trouble);
  for (const ordered_json& stage : List(instance, "stages")) {
    const ordered_json& layers = List(stage, "layers");
    const bool known = layers.size() == 2 && layers[0].is_number() && layers[1].is_number();
    absl::PrintF("  layers %-9s %-20s %-10s %10s weights %10s KV\n",
                 known ? absl::StrCat(layers[0].get<int64_t>(), "-", layers[1].get<int64_t>()) : "",
                 Text(stage, "name"), Text(stage, "device"),
                 partition::Bytes(Amount(stage, "weight_bytes")),
                 partition::Bytes(Amount(stage, "kv_bytes")));
  }
  const ordered_json& prediction = Part(instance, "prediction");
  if (const double speed = Number(prediction, "decode_tokens_per_second"); speed > 0)
    absl::PrintF("  expected %s tokens/s for one stream\n", partition::Digits(speed));
  const ordered_json& requests = Part(instance, "requests");
  absl::PrintF("  requests: %d running, %d waiting; %d tokens generated, %s tokens/s now\n",
               Amount(requests, "running"), Amount(requests, "waiting"),
               Amount(instance, "generated_tokens"),
               partition::Digits(Number(instance, "tokens_per_second")));
  if (const std::string survival = Survival(instance); !survival.empty())
    absl::PrintF("  survives %s\n", survival);
  for (const ordered_json& note : List(instance, "notes")) {
    if (note.is_string()) absl::PrintF("  note: %s\n", note.get<std::string>());
  }
  for (const ordered_json& left_out : List(instance, "left_out"))
    absl::PrintF("  left out: %s: %s\n", Text(left_out, "name"), Text(left_out, "reason"));
}

std::string LinkTo(const ordered_json& worker, std::string_view peer) {
  for (const ordered_json& link : List(worker, "links")) {
    if (Text(link, "to") != peer || !link.contains("round_trip_ms")) continue;
    return absl::StrFormat("%.2f ms, %.0f Mbit/s", Number(link, "round_trip_ms"),
                           Number(link, "mbit_per_second"));
  }
  return "";
}

void PrintWorkers(const ordered_json& workers) {
  absl::PrintF("%-20s %-9s %-10s %22s %12s  %s\n", "worker", "state", "device", "memory free",
               "disk room", "link to the coordinator");
  for (const ordered_json& worker : workers) {
    if (List(worker, "devices").empty()) {  // not here since the coordinator's start
      absl::PrintF("%-20s %s\n", Text(worker, "name"), Text(worker, "state"));
      continue;
    }
    bool first = true;
    for (const ordered_json& device : List(worker, "devices")) {
      absl::PrintF("%-20s %-9s %-10s %22s %12s  %s\n", first ? Text(worker, "name") : "",
                   first ? Text(worker, "state") : "", Text(device, "device"),
                   absl::StrCat(partition::Bytes(Amount(device, "free_memory_bytes")), " of ",
                                partition::Bytes(Amount(device, "memory_bytes"))),
                   first ? partition::Bytes(Amount(worker, "disk_free_bytes")) : "",
                   first ? LinkTo(worker, "coordinator") : "");
      first = false;
    }
  }
  for (const ordered_json& worker : workers) {
    if (Text(worker, "state") != "resting") continue;
    absl::PrintF(
        "%s rests for another %d s, for it was lost too often; `potluck resume %s` uses it now\n",
        Text(worker, "name"), Amount(worker, "rests_for_seconds"), Text(worker, "name"));
  }
}

void Print(const ordered_json& cluster) {
  if (List(cluster, "workers").empty()) {
    absl::PrintF("no workers yet\n");
  } else {
    PrintWorkers(List(cluster, "workers"));
  }
  if (List(cluster, "instances").empty()) absl::PrintF("\nno model is loaded\n");
  for (const ordered_json& instance : List(cluster, "instances")) PrintInstance(instance);
  const ordered_json& counters = Part(cluster, "counters");
  absl::PrintF("\nworkers lost %d, changes of plan %d, requests resumed %d\n",
               Amount(counters, "workers_lost"), Amount(counters, "replans"),
               Amount(counters, "requests_resumed"));
}

absl::StatusOr<ordered_json> AskStatus(const HttpClient& client) {
  POTLUCK_ASSIGN_OR_RETURN(const HttpReply reply, client.Get("/cluster"));
  return JsonOf(reply);
}

void Show(const StatusOptions& options, const ordered_json& cluster) {
  if (options.json) {
    std::cout << cluster.dump(2, ' ', false, ordered_json::error_handler_t::replace) << "\n";
  } else {
    // Home, and clear to the end: the picture stands still.
    if (options.watch && IsTerminal(1)) absl::PrintF("\033[H\033[2J");
    Print(cluster);
  }
}

absl::Status ShowStatus(const StatusOptions& options) {
  POTLUCK_ASSIGN_OR_RETURN(const HttpClient client, ConnectTo(options.cluster));
  bool was_there = false;
  while (true) {
    const absl::StatusOr<ordered_json> cluster = AskStatus(client);
    if (cluster.ok()) {
      Show(options, *cluster);
      was_there = true;
    } else if (was_there && absl::IsUnavailable(cluster.status())) {
      absl::FPrintF(stderr, "%s\n", cluster.status().message());  // it may be back soon
    } else {
      return cluster.status();
    }
    if (!options.watch) return absl::OkStatus();
    std::cout.flush();
    std::fflush(stdout);
    if (WaitForInterrupt(kWatchInterval)) return absl::OkStatus();
  }
}

}  // namespace

void AddStatusCommand(CLI::App& app, Command& command) {
  auto options = std::make_shared<StatusOptions>();
  CLI::App* status =
      app.add_subcommand("status", "Show the cluster: workers, models, speed, what it survives");
  status->add_flag("--watch", options->watch, "Show it again every two seconds");
  status->add_flag("--json", options->json, "Print what GET /cluster answers");
  AddClusterOptions(*status, options->cluster);
  status->footer("Examples:\n  potluck status --watch\n  potluck status --url http://nas:7070");
  status->callback([options, &command] { command = [options] { return ShowStatus(*options); }; });
}

}  // namespace potluck::cli
