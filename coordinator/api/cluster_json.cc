#include "coordinator/api/cluster_json.h"

#include <string>

#include "coordinator/api/plan_json.h"
#include "coordinator/membership/cluster_profile.h"

namespace potluck::coordinator {
namespace {

using nlohmann::ordered_json;

ordered_json StagesJson(const Pipeline& pipeline, const InstanceScheduler& scheduler,
                        const Membership& membership) {
  ordered_json stages = ordered_json::array();
  const std::vector<double>& computing = scheduler.computing_seconds();
  for (const partition::StagePlan& stage : pipeline.plan.stages) {
    ordered_json standby = ordered_json::array();
    for (const partition::Standby& other : stage.standby)
      standby.push_back(
          {{"worker", other.worker_id}, {"name", other.name}, {"on_disk", other.on_disk}});
    stages.push_back(
        {{"worker", stage.worker_id},
         {"name", membership.PeerOf(stage.worker_id).name},
         {"device", stage.device_id.substr(stage.worker_id.size() + 1)},
         {"layers", {stage.first_layer, stage.last_layer}},
         {"weight_bytes", stage.weight_bytes},
         {"kv_bytes", stage.kv_bytes},
         {"computing_seconds", stages.size() < computing.size() ? computing[stages.size()] : 0.0},
         {"standby", std::move(standby)}});
  }
  return stages;
}

ordered_json InstanceJson(const Coordinator& coordinator, const Instance& instance,
                          absl::Duration now) {
  const InstanceScheduler& scheduler = instance.scheduler();
  ordered_json json = {{"id", instance.model().id},
                       {"model", instance.model().name},
                       {"state", StateOf(instance)},
                       {"epoch", 0},
                       {"stages", ordered_json::array()}};
  if (const Pipeline* pipeline = instance.pipeline(); pipeline != nullptr && instance.serving()) {
    json["epoch"] = pipeline->epoch.number;
    json["stages"] = StagesJson(*pipeline, scheduler, coordinator.membership());
    json["context_length"] = pipeline->plan.context_length;
    json["parallel"] = pipeline->plan.parallel;
    const partition::Prediction& prediction = pipeline->plan.prediction;
    json["prediction"] = {{"decode_tokens_per_second", prediction.decode_tokens_per_second},
                          {"together_tokens_per_second", prediction.together_tokens_per_second},
                          {"prefill_tokens_per_second", prediction.prefill_tokens_per_second}};
    json["losses"] = LossesJson(pipeline->plan);
    json["left_out"] = LeftOutJson(pipeline->plan);
    json["notes"] = pipeline->plan.notes;
  }
  if (instance.target() != nullptr) json["loaded"] = instance.loaded_fraction();
  if (const absl::Status trouble = coordinator.TroubleOf(instance.model().id); !trouble.ok())
    json["trouble"] = std::string(trouble.message());
  json["requests"] = {{"running", scheduler.num_active()}, {"waiting", scheduler.num_waiting()}};
  json["kv_blocks"] = {{"free", scheduler.num_free_blocks()}, {"all", scheduler.num_blocks()}};
  json["generated_tokens"] = scheduler.counters().generated_tokens;
  json["tokens_per_second"] = scheduler.tokens_per_second(now);
  return json;
}

ordered_json WorkerJson(const Member& member, absl::Duration now) {
  ordered_json devices = ordered_json::array();
  for (size_t i = 0; i < member.hello.devices.size(); ++i) {
    const wire::DeviceProfile& device = member.hello.devices[i];
    const int64_t free = i < member.heartbeat.free_memory_bytes.size()
                             ? member.heartbeat.free_memory_bytes[i]
                             : device.free_memory_bytes;
    devices.push_back({{"device", device.device},
                       {"description", device.description},
                       {"backend", device.backend},
                       {"numerics_class", device.numerics_class},
                       {"memory_bytes", device.memory_bytes},
                       {"free_memory_bytes", free}});
  }
  ordered_json links = ordered_json::array();
  for (const auto& [to, link] : member.links) {
    ordered_json json = {{"to", to}, {"reachable", link.reachable}};
    if (link.reachable) {
      json["round_trip_ms"] = link.round_trip_seconds * 1e3;
      json["mbit_per_second"] = link.bytes_per_second * 8e-6;
    }
    links.push_back(std::move(json));
  }
  const MemberState state = member.state(now);
  ordered_json json = {
      {"id", member.hello.worker},
      {"name", member.hello.name},
      {"state", ToString(state)},
      {"host", member.hello.host},
      {"version", member.hello.version.build},
      {"addresses", member.hello.addresses},
      {"disk_free_bytes", member.heartbeat.number > 0 ? member.heartbeat.disk_free_bytes
                                                      : member.hello.disk_free_bytes},
      {"load", member.heartbeat.load},
      {"own_load", member.heartbeat.own_load},
      {"devices", std::move(devices)},
      {"links", std::move(links)}};
  if (state == MemberState::kResting)
    json["rests_for_seconds"] = absl::ToInt64Seconds(member.rests_until - now);
  return json;
}

}  // namespace

const char* StateOf(const Instance& instance) {
  if (instance.ready()) return instance.target() == nullptr ? "ready" : "changing";
  if (instance.target() != nullptr) return "loading";
  return instance.serving() ? "starting" : "waiting";
}

ordered_json ClusterJson(const Coordinator& coordinator, absl::Duration now) {
  int64_t resumed = coordinator.counters().requests_resumed;
  ordered_json instances = ordered_json::array();
  for (const Instance* instance : coordinator.instances()) {
    instances.push_back(InstanceJson(coordinator, *instance, now));
    resumed += instance->scheduler().counters().requests_resumed;
  }
  ordered_json workers = ordered_json::array();
  for (const auto& [id, member] : coordinator.membership().members())
    workers.push_back(WorkerJson(member, now));
  return {{"cluster", coordinator.options().cluster},
          {"version", coordinator.options().version.build},
          {"term", coordinator.options().term},
          {"instances", std::move(instances)},
          {"workers", std::move(workers)},
          {"counters",
           {{"workers_lost", coordinator.counters().workers_lost},
            {"replans", coordinator.counters().replans},
            {"requests_resumed", resumed}}}};
}

}  // namespace potluck::coordinator
