#include "coordinator/state/cluster_state.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "coordinator/api/request_fields.h"
#include "model/bounded_json.h"

namespace potluck::coordinator {
namespace {

using model::FindKey;
using model::Json;
using nlohmann::ordered_json;

constexpr int64_t kDaySeconds = 24 * 60 * 60;

absl::Status Broken(const char* where) {
  return absl::InvalidArgumentError(absl::StrCat("the coordinator's state has no proper ", where));
}

absl::StatusOr<partition::Placement> ParsePlacement(const Json& json) {
  const std::optional<std::string> device = model::StringValue(FindKey(json, "device"));
  const std::optional<int64_t> first = model::IntValue(FindKey(json, "first"));
  const std::optional<int64_t> end = model::IntValue(FindKey(json, "end"));
  if (!device || !first || !end || *first < 0 || *end <= *first) return Broken("placement");
  return partition::Placement{*device, *first, *end};
}

absl::StatusOr<KeptInstance> ParseInstance(const Json& json) {
  const Json* request = FindKey(json, "request");
  const Json* placements = FindKey(json, "placements");
  if (request == nullptr || placements == nullptr || !placements->is_array())
    return Broken("instance");
  KeptInstance kept;
  POTLUCK_ASSIGN_OR_RETURN(kept.request, ParseLoadRequest(request->dump()));
  for (const Json& entry : *placements) {
    if (!entry.is_object()) return Broken("placement");
    POTLUCK_ASSIGN_OR_RETURN(partition::Placement placement, ParsePlacement(entry));
    kept.placements.push_back(std::move(placement));
  }
  return kept;
}

absl::StatusOr<KnownWorker> ParseWorker(const Json& json, absl::Time now) {
  const std::optional<std::string> worker = model::StringValue(FindKey(json, "worker"));
  const std::optional<std::string> name = model::StringValue(FindKey(json, "name"));
  const std::optional<int64_t> last_seen = model::IntValue(FindKey(json, "last_seen"));
  if (!worker || worker->empty() || !name || !last_seen) return Broken("worker");
  KnownWorker known{.worker = *worker, .name = *name};
  for (const auto& [key, flag] :
       {std::pair("drained", &known.drained), std::pair("paused", &known.paused),
        std::pair("left", &known.left)}) {
    POTLUCK_RETURN_IF_ERROR(ReadBool(json, key, *flag));
  }
  // A clock may have been put back.
  known.silent_for = std::max(now - absl::FromUnixSeconds(*last_seen), absl::ZeroDuration());
  return known;
}

}  // namespace

std::string ToJson(const ClusterState& state, absl::Time now) {
  ordered_json instances = ordered_json::array();
  for (const KeptInstance& kept : state.instances) {
    ordered_json placements = ordered_json::array();
    for (const partition::Placement& placement : kept.placements) {
      placements.push_back(
          {{"device", placement.device_id}, {"first", placement.first}, {"end", placement.end}});
    }
    instances.push_back({{"request", ordered_json::parse(ToJson(kept.request))},
                         {"placements", std::move(placements)}});
  }
  ordered_json workers = ordered_json::array();
  for (const KnownWorker& known : state.workers) {
    const int64_t seen = absl::ToUnixSeconds(now - known.silent_for);
    workers.push_back({{"worker", known.worker},
                       {"name", known.name},
                       {"drained", known.drained},
                       {"paused", known.paused},
                       {"left", known.left},
                       {"last_seen", seen - seen % kDaySeconds}});
  }
  const ordered_json json = {
      {"term", state.term}, {"instances", std::move(instances)}, {"workers", std::move(workers)}};
  return json.dump(1) + "\n";
}

absl::StatusOr<ClusterState> ParseClusterState(std::string_view text, absl::Time now) {
  POTLUCK_ASSIGN_OR_RETURN(const Json json,
                           model::ParseJsonObject(text, "the coordinator's state"));
  const std::optional<int64_t> term = model::IntValue(FindKey(json, "term"));
  const Json* instances = FindKey(json, "instances");
  if (!term || *term < 0) return Broken("term");
  if (instances == nullptr || !instances->is_array()) return Broken("list of instances");
  ClusterState state{.term = *term, .instances = {}, .workers = {}};
  for (const Json& entry : *instances) {
    if (!entry.is_object()) return Broken("instance");
    POTLUCK_ASSIGN_OR_RETURN(KeptInstance kept, ParseInstance(entry));
    state.instances.push_back(std::move(kept));
  }
  if (const Json* workers = FindKey(json, "workers"); workers != nullptr) {
    if (!workers->is_array()) return Broken("list of workers");
    for (const Json& entry : *workers) {
      if (!entry.is_object()) return Broken("worker");
      POTLUCK_ASSIGN_OR_RETURN(KnownWorker known, ParseWorker(entry, now));
      if (known.silent_for <= kWorkerMemory) state.workers.push_back(std::move(known));
    }
  }
  return state;
}

}  // namespace potluck::coordinator
