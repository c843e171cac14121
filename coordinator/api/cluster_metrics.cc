#include "coordinator/api/cluster_metrics.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace potluck::coordinator {
namespace {

using Type = MetricFamily::Type;

// A family under construction.
class Family {
 public:
  Family(std::string name, std::string help, Type type = Type::kGauge)
      : family_{std::move(name), std::move(help), type, {}} {}
  template <typename T>
  void Add(MetricLabels labels, T value) {
    family_.samples.push_back({std::move(labels), static_cast<double>(value)});
  }
  MetricFamily Take() { return std::move(family_); }

 private:
  MetricFamily family_;
};

MetricLabels With(MetricLabels labels, const char* name, std::string value) {
  labels.emplace_back(name, std::move(value));
  return labels;
}

// Names are for people and may be alike; with the id they are one worker's.
MetricLabels LabelsOf(const wire::WorkerId& worker, const std::string& name) {
  return {{"worker", name}, {"worker_id", worker}};
}

int64_t LayersWithoutStandby(const partition::InstancePlan& plan) {
  int64_t layers = 0;
  for (const partition::StagePlan& stage : plan.stages) {
    if (stage.standby.empty()) layers += stage.last_layer - stage.first_layer + 1;
  }
  return layers;
}

void AddInstances(const Coordinator& coordinator, std::vector<MetricFamily>& families) {
  Family ready("potluck_model_ready", "1 where the model answers");
  Family running("potluck_requests_running", "Requests that are on the workers");
  Family waiting("potluck_requests_waiting", "Requests that wait for room there");
  Family capacity("potluck_kv_capacity_bytes", "Room for keys and values, all stages together");
  Family used("potluck_kv_used_bytes", "Of it, what running requests hold");
  Family epoch("potluck_plan_epoch", "Number of the plan that is in place");
  Family bare("potluck_layers_without_standby", "Layers that no second device has on its disk");
  Family steps("potluck_steps_total", "Steps sent to the first stage", Type::kCounter);
  Family preempted("potluck_preemptions_total", "Requests that had to give way to others",
                   Type::kCounter);
  Family layers("potluck_worker_layers", "Layers that a worker serves");
  Family weights("potluck_worker_weight_bytes", "Weights of these layers");
  Family kv("potluck_worker_kv_bytes", "Room for their keys and values");
  for (const Instance* instance : coordinator.instances()) {
    const MetricLabels labels = MetricLabelsOf(*instance);
    const InstanceScheduler& scheduler = instance->scheduler();
    ready.Add(labels, instance->ready());
    running.Add(labels, scheduler.num_active());
    waiting.Add(labels, scheduler.num_waiting());
    steps.Add(labels, scheduler.counters().steps);
    preempted.Add(labels, scheduler.counters().preemptions);
    const Pipeline* pipeline = instance->pipeline();
    if (pipeline == nullptr || !instance->serving()) continue;
    epoch.Add(labels, pipeline->epoch.number);
    bare.Add(labels, LayersWithoutStandby(pipeline->plan));
    int64_t kv_bytes = 0;
    for (const partition::StagePlan& stage : pipeline->plan.stages) {
      kv_bytes += stage.kv_bytes;
      MetricLabels of =
          LabelsOf(stage.worker_id, coordinator.membership().PeerOf(stage.worker_id).name);
      of.insert(of.end(), labels.begin(), labels.end());
      of = With(std::move(of), "device", stage.device_id.substr(stage.worker_id.size() + 1));
      layers.Add(of, stage.last_layer - stage.first_layer + 1);
      weights.Add(of, stage.weight_bytes);
      kv.Add(of, stage.kv_bytes);
    }
    capacity.Add(labels, kv_bytes);
    const int32_t blocks = std::max(1, scheduler.num_blocks());
    used.Add(labels, static_cast<double>(kv_bytes) * scheduler.num_used_blocks() / blocks);
  }
  for (Family* family : {&ready, &running, &waiting, &capacity, &used, &epoch, &bare, &steps,
                         &preempted, &layers, &weights, &kv})
    families.push_back(family->Take());
}

void AddWorkers(const Coordinator& coordinator, absl::Duration now,
                std::vector<MetricFamily>& families) {
  Family up("potluck_worker_up", "1 where the worker is connected");
  Family silence("potluck_worker_silence_seconds", "Since a worker was last heard of");
  Family load("potluck_worker_load_ratio", "How busy its machine is with other things, 0 to 1");
  Family memory("potluck_worker_free_memory_bytes", "Memory of a device that is free");
  Family disk("potluck_worker_free_disk_bytes", "Disk that fetched weights may still take");
  Family trip("potluck_link_round_trip_seconds", "Of a link between workers, as last measured");
  Family bandwidth("potluck_link_bytes_per_second", "Likewise");
  const auto& members = coordinator.membership().members();
  for (const auto& [id, member] : members) {
    if (member.state(now) == MemberState::kLeft) continue;  // nobody waits for it
    const MetricLabels labels = LabelsOf(id, member.hello.name);
    up.Add(labels, member.connected());
    silence.Add(labels, absl::ToDoubleSeconds(now - member.heard_at));
    if (!member.connected()) continue;
    load.Add(labels, member.heartbeat.load);
    disk.Add(labels, member.heartbeat.disk_free_bytes);
    const std::vector<int64_t>& free = member.heartbeat.free_memory_bytes;
    for (size_t i = 0; i < std::min(free.size(), member.hello.devices.size()); ++i)
      memory.Add(With(labels, "device", member.hello.devices[i].device), free[i]);
    for (const auto& [to, link] : member.links) {
      const auto other = members.find(to);
      if (!link.reachable || other == members.end()) continue;
      const MetricLabels both = With(labels, "to", other->second.hello.name);
      trip.Add(With(both, "to_id", to), link.round_trip_seconds);
      bandwidth.Add(With(both, "to_id", to), link.bytes_per_second);
    }
  }
  for (Family* family : {&up, &silence, &load, &memory, &disk, &trip, &bandwidth})
    families.push_back(family->Take());
}

// By who has sent it, and to whom.
void AddTraffic(const Coordinator& coordinator, std::vector<MetricFamily>& families) {
  Family sent("potluck_link_sent_bytes_total",
              "Bytes of messages from one member of the cluster to another", Type::kCounter);
  const auto& members = coordinator.membership().members();
  const auto add = [&](const wire::WorkerId& from, const std::string& name,
                       const std::vector<wire::Traffic>& traffic) {
    for (const wire::Traffic& one : traffic) {
      const auto to = members.find(one.to);
      if (to == members.end() && one.to != wire::kCoordinator) continue;
      const std::string to_name = to == members.end() ? one.to : to->second.hello.name;
      sent.Add(With(With(LabelsOf(from, name), "to", to_name), "to_id", one.to), one.sent_bytes);
    }
  };
  if (coordinator.options().traffic)
    add(wire::kCoordinator, wire::kCoordinator, coordinator.options().traffic());
  for (const auto& [id, member] : members) {
    if (member.connected()) add(id, member.hello.name, member.heartbeat.traffic);
  }
  families.push_back(sent.Take());
}

}  // namespace

MetricLabels MetricLabelsOf(const Instance& instance) {
  return {{"model", instance.model().name}, {"replica", absl::StrCat(instance.model().id)}};
}

MetricLabels MetricLabelsOf(const Instance& instance, const partition::StagePlan& stage) {
  MetricLabels labels = MetricLabelsOf(instance);
  for (auto& label : LabelsOf(stage.worker_id, stage.name)) labels.push_back(std::move(label));
  return With(std::move(labels), "device", stage.device_id.substr(stage.worker_id.size() + 1));
}

std::vector<MetricFamily> ClusterMetrics(const Coordinator& coordinator, absl::Duration now) {
  std::vector<MetricFamily> families;
  AddInstances(coordinator, families);
  AddWorkers(coordinator, now, families);
  AddTraffic(coordinator, families);
  int64_t resumed = coordinator.counters().requests_resumed;
  for (const Instance* instance : coordinator.instances())
    resumed += instance->scheduler().counters().requests_resumed;
  Family lost("potluck_workers_lost_total", "Workers that vanished", Type::kCounter);
  Family replans("potluck_replans_total", "Changes of plan after a model's first", Type::kCounter);
  Family went_on("potluck_requests_resumed_total", "Requests that went on after a worker's death",
                 Type::kCounter);
  Family retried("potluck_request_retries_total",
                 "Requests that were computed again after a step failed", Type::kCounter);
  lost.Add({}, coordinator.counters().workers_lost);
  replans.Add({}, coordinator.counters().replans);
  went_on.Add({}, resumed);
  for (const Instance* instance : coordinator.instances())
    retried.Add(MetricLabelsOf(*instance), instance->scheduler().counters().retries);
  for (Family* family : {&lost, &replans, &went_on, &retried}) families.push_back(family->Take());
  return families;
}

}  // namespace potluck::coordinator
