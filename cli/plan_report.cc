#include "cli/plan_report.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/json_fields.h"
#include "partition/amounts.h"

namespace potluck::cli {
namespace {

using nlohmann::ordered_json;
using partition::Seconds;

// Of a device, with its worker's name in place of its id.
std::string LabelOf(const ordered_json& device) {
  const std::string worker = Text(device, "worker"), name = Text(device, "name");
  const std::string id = Text(device, "device");
  return !name.empty() && !worker.empty() && id.starts_with(worker)
             ? name + id.substr(worker.size())
             : id;
}

std::string LayersOf(const ordered_json& stage) {
  const ordered_json& range = List(stage, "layers");
  if (range.size() != 2 || !range[0].is_number_integer() || !range[1].is_number_integer())
    return "";
  return partition::Layers(range[0].get<int64_t>(), range[1].get<int64_t>());
}

std::string PartsOf(const ordered_json& stage) {
  return absl::StrCat(LayersOf(stage), Flag(stage, "embedding") ? " + embedding" : "",
                      Flag(stage, "head") ? " + head" : "");
}

void PrintStages(const ordered_json& plan) {
  absl::PrintF("%-16s %-32s %10s %10s %10s %10s\n", "device", "layers", "weights", "KV", "buffers",
               "may take");
  for (const ordered_json& stage : List(plan, "stages")) {
    absl::PrintF(
        "%-16s %-32s %10s %10s %10s %10s\n", LabelOf(stage), PartsOf(stage),
        partition::Bytes(Amount(stage, "weight_bytes")),
        partition::Bytes(Amount(stage, "kv_bytes")),
        partition::Bytes(Amount(stage, "activation_bytes") + Amount(stage, "replay_bytes")),
        partition::Bytes(Amount(stage, "allowed_bytes")));
  }
}

void PrintSpeeds(const ordered_json& plan) {
  const ordered_json& prediction = Part(plan, "prediction");
  const auto speed = [&](const char* key) { return partition::Digits(Number(prediction, key)); };
  absl::PrintF("\ndecode   %s tokens/s for one stream, %d tokens into it\n",
               speed("decode_tokens_per_second"), Amount(prediction, "depth"));
  if (const int64_t parallel = Amount(plan, "parallel"); parallel > 1) {
    const int64_t in_flight = Amount(prediction, "steps_in_flight");
    absl::PrintF("         %s tokens/s for %d together, %d %s in flight\n",
                 speed("together_tokens_per_second"), parallel, in_flight,
                 in_flight == 1 ? "step" : "steps");
  }
  absl::PrintF("prefill  %s tokens/s for a prompt of %d tokens\n",
               speed("prefill_tokens_per_second"), Amount(prediction, "prompt_tokens"));
}

// Where it is not who sends that opens the connection, or nobody can.
std::string WayOf(const ordered_json& hop) {
  const std::string by = Text(hop, "dialled_by"), to = Text(hop, "to");
  if (Flag(hop, "relayed")) return " (relayed)";
  return by == to && Text(hop, "from") != "coordinator" ? absl::StrCat(" (", by, " dials)") : "";
}

void PrintTimes(const ordered_json& plan) {
  absl::PrintF("\nwhere the time goes%-29s %10s %16s\n", "", "a token",
               absl::StrCat(Amount(Part(plan, "prediction"), "chunk_tokens"), " of a prompt"));
  const auto print = [](const std::string& what, const ordered_json& times) {
    absl::PrintF("  %-46s %10s %16s\n", what, Seconds(Number(times, "decode_seconds")),
                 Seconds(Number(times, "prefill_seconds")));
  };
  const ordered_json& stages = List(plan, "stages");
  size_t stage = 0;
  for (const ordered_json& hop : List(plan, "hops")) {
    print(absl::StrCat(Text(hop, "from"), " -> ", Text(hop, "to"), WayOf(hop)), hop);
    if (stage == stages.size()) break;
    print(absl::StrCat(LabelOf(stages[stage]), " computes"), stages[stage]);
    ++stage;
  }
}

void PrintLosses(const ordered_json& plan) {
  absl::PrintF("\nif a worker is lost\n");
  for (const ordered_json& loss : List(plan, "losses")) {
    absl::PrintF("  %s: %s: %s\n", Text(loss, "name"),
                 Flag(loss, "survived") ? "it goes on" : "it stops", Text(loss, "how"));
  }
  for (const ordered_json& stage : List(plan, "stages")) {
    std::vector<std::string> names;
    for (const ordered_json& standby : List(stage, "standby")) names.push_back(LabelOf(standby));
    if (names.empty()) continue;
    absl::PrintF("  standby for %s: %s\n", LayersOf(stage), absl::StrJoin(names, ", "));
  }
}

}  // namespace

void PrintPlan(const ordered_json& plan) {
  const size_t used = List(plan, "stages").size();
  const ordered_json& left_out = List(plan, "left_out");
  absl::PrintF("%s on %d of %d devices; context %d tokens, %d at once\n\n", Text(plan, "model"),
               used, used + left_out.size(), Amount(plan, "context_length"),
               Amount(plan, "parallel"));
  PrintStages(plan);
  PrintSpeeds(plan);
  PrintTimes(plan);
  if (!left_out.empty()) absl::PrintF("\nleft out\n");
  for (const ordered_json& device : left_out)
    absl::PrintF("  %s: %s\n", LabelOf(device), Text(device, "reason"));
  PrintLosses(plan);
  const ordered_json& notes = List(plan, "notes");
  if (!notes.empty()) absl::PrintF("\nnotes\n");
  for (const ordered_json& note : notes)
    absl::PrintF("  %s\n", note.is_string() ? note.get<std::string>() : "");
}

}  // namespace potluck::cli
