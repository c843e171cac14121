#include "coordinator/api/http/prometheus_targets.h"

#include <algorithm>

#include "absl/strings/str_split.h"
#include "common/host_port.h"
#include "common/text.h"
#include "coordinator/api/request_fields.h"

namespace potluck::coordinator {
namespace {

using nlohmann::ordered_json;

std::string ValueIn(std::string_view query, std::string_view name) {
  for (const absl::string_view part : absl::StrSplit(ToAbsl(query), '&')) {
    const std::pair<std::string, std::string> field = absl::StrSplit(part, absl::MaxSplits('=', 1));
    if (field.first == name) return field.second;
  }
  return "";
}

bool IsLoopbackHost(const std::string& host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

// Whether a Prometheus, on this machine or another one, is likely to reach what the worker shows:
// on loopback only where all three are one machine; elsewhere unless others have tried to reach
// that worker and none could.
Reach ReachOf(const Coordinator& coordinator, const Member& member, bool asked_here) {
  const auto address = ParseHostPort(member.hello.metrics);
  if (!address.ok()) return Reach::kRelayed;
  const bool here = member.hello.host == coordinator.options().host;
  if (IsLoopbackHost(address->host)) return here && asked_here ? Reach::kDirect : Reach::kRelayed;
  bool tried = false, reached = false;
  for (const auto& [id, other] : coordinator.membership().members()) {
    const auto link = other.links.find(member.hello.worker);
    if (link == other.links.end()) continue;
    tried = true;
    reached |= link->second.reachable;
  }
  return tried && !reached ? Reach::kRelayed : Reach::kDirect;
}

}  // namespace

absl::StatusOr<std::optional<Reach>> ParseReach(std::string_view query) {
  const std::string word = ValueIn(query, "reach");
  if (word.empty()) return std::optional<Reach>();
  if (word == "direct") return std::optional(Reach::kDirect);
  if (word == "relayed") return std::optional(Reach::kRelayed);
  return BadField("reach", "direct or relayed");
}

std::string WorkerIdIn(std::string_view query) { return ValueIn(query, "id"); }

ordered_json TargetsJson(const Coordinator& coordinator, std::optional<Reach> wanted,
                         const HttpRequest& request) {
  ordered_json targets = ordered_json::array();
  for (const auto& [id, member] : coordinator.membership().members()) {
    if (!member.connected()) continue;
    const Reach reach = ReachOf(coordinator, member, request.loopback);
    if (wanted.value_or(reach) != reach) continue;
    ordered_json labels = {{"worker", member.hello.name}, {"worker_id", id}};
    std::string address = member.hello.metrics;
    if (reach == Reach::kRelayed) {
      address = std::string(request.Header("Host"));
      labels["instance"] = member.hello.name;  // the address would be the coordinator's
      labels["__scheme__"] = request.tls ? "https" : "http";
      labels["__metrics_path__"] = kWorkerMetricsPath;
      labels["__param_id"] = id;
    }
    targets.push_back({{"targets", {address}}, {"labels", std::move(labels)}});
  }
  return targets;
}

}  // namespace potluck::coordinator
