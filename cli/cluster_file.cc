#include "cli/cluster_file.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "kernels/dtype.h"
#include "model/bounded_json.h"

namespace potluck::cli {
namespace {

using model::FindKey;
using model::Json;
using partition::ClusterProfile;
using partition::DeviceProfile;
using partition::FormatRates;
using partition::LinkProfile;

constexpr uint64_t kMostFileBytes = 4 << 20;
constexpr double kGiB = 1 << 30;
// Beyond any machine, and small enough for int64.
constexpr double kMostGiB = 1 << 20;

const std::map<std::string, partition::Availability> kStates = {
    {"ready", partition::Availability::kReady},
    {"suspect", partition::Availability::kSuspect},
    {"resting", partition::Availability::kResting},
    {"paused", partition::Availability::kPaused},
    {"leaving", partition::Availability::kLeaving}};

// The fields of one JSON object. The first error stays, and names the object.
class Fields {
 public:
  Fields(const Json& object, std::string where, std::set<std::string> known)
      : object_(object), where_(std::move(where)) {
    if (!object.is_object()) {
      Fail("is no object");
      return;
    }
    for (const auto& [key, value] : object.items())
      if (!known.contains(key)) Fail(absl::StrCat("has the unknown key \"", Printable(key), "\""));
  }

  void Text(const char* key, std::string& value) {
    if (const Json* field = FindKey(object_, key)) {
      if (!field->is_string()) return Fail(absl::StrCat(key, " is no text"));
      value = field->get<std::string>();
    }
  }
  void Flag(const char* key, bool& value) {
    if (const Json* field = FindKey(object_, key)) {
      if (!field->is_boolean()) return Fail(absl::StrCat(key, " is neither true nor false"));
      value = field->get<bool>();
    }
  }
  void Number(const char* key, double unit, double& value) {
    if (const Json* field = FindKey(object_, key)) {
      const std::optional<double> number = model::NumberValue(field);
      if (!number) return Fail(absl::StrCat(key, " is no number"));
      value = *number * unit;
    }
  }
  void Gibibytes(const char* key, int64_t& bytes) {
    double gib = static_cast<double>(bytes) / kGiB;
    Number(key, 1, gib);
    if (!(gib >= 0 && gib <= kMostGiB))
      return Fail(absl::StrCat(key, " is not from 0 to ", kMostGiB));
    bytes = static_cast<int64_t>(gib * kGiB);
  }
  // One number for all formats, or an object of numbers by format.
  void Rates(const char* key, double unit, FormatRates& rates) {
    const Json* field = FindKey(object_, key);
    if (field == nullptr) return Fail(absl::StrCat("has no ", key));
    if (const std::optional<double> number = model::NumberValue(field)) {
      rates.fill(*number * unit);
      return;
    }
    if (!field->is_object()) return Fail(absl::StrCat(key, " is neither a number nor an object"));
    for (const auto& [name, rate] : field->items()) {
      const std::optional<kernels::DType> format = kernels::WeightDTypeNamed(name);
      const std::optional<double> number = model::NumberValue(&rate);
      if (!format || !number) {
        return Fail(absl::StrCat(key, " has \"", Printable(name),
                                 "\": a number for each tensor type is expected, such as q4_k"));
      }
      rates[static_cast<size_t>(*format)] = *number * unit;
    }
  }
  void Require(const char* key) {
    if (FindKey(object_, key) == nullptr) Fail(absl::StrCat("has no ", key));
  }
  void Fail(std::string what) {
    if (status_.ok()) status_ = absl::InvalidArgumentError(absl::StrCat(where_, " ", what));
  }
  const absl::Status& status() const { return status_; }

 private:
  const Json& object_;
  const std::string where_;
  absl::Status status_;
};

absl::StatusOr<DeviceProfile> ReadDevice(const Json& json, size_t number) {
  const std::optional<std::string> id = model::StringValue(FindKey(json, "id"));
  Fields fields(json,
                id ? absl::StrCat("device ", Printable(*id)) : absl::StrCat("device ", number),
                {"id", "worker", "name", "host", "backend", "numerics_class", "own_memory",
                 "decode_gb_per_second", "prefill_gflops", "layer_overhead_us", "step_overhead_us",
                 "load", "memory_gib", "free_memory_gib", "memory_limit_gib", "free_disk_gib",
                 "load_mb_per_second", "state"});
  DeviceProfile device{.backend = "cpu", .numerics_class = "cpu-1"};
  fields.Require("id");
  fields.Require("free_memory_gib");
  fields.Text("id", device.id);
  device.worker_id = device.id;
  fields.Text("worker", device.worker_id);
  device.name = device.host_id = device.worker_id;
  fields.Text("name", device.name);
  fields.Text("host", device.host_id);
  fields.Text("backend", device.backend);
  fields.Text("numerics_class", device.numerics_class);
  fields.Flag("own_memory", device.own_memory);
  fields.Rates("decode_gb_per_second", 1e9, device.decode_bytes_per_second);
  fields.Rates("prefill_gflops", 1e9, device.prefill_operations_per_second);
  fields.Number("layer_overhead_us", 1e-6, device.layer_overhead_seconds);
  fields.Number("step_overhead_us", 1e-6, device.step_overhead_seconds);
  fields.Number("load", 1, device.load);
  fields.Gibibytes("free_memory_gib", device.free_memory_bytes);
  device.total_memory_bytes = device.free_memory_bytes;
  fields.Gibibytes("memory_gib", device.total_memory_bytes);
  fields.Gibibytes("memory_limit_gib", device.memory_limit_bytes);
  fields.Gibibytes("free_disk_gib", device.free_disk_bytes);
  fields.Number("load_mb_per_second", 1e6, device.load_bytes_per_second);
  std::string state = "ready";
  fields.Text("state", state);
  if (const auto found = kStates.find(state); found != kStates.end()) {
    device.availability = found->second;
  } else {
    fields.Fail(absl::StrCat("is in the state \"", Printable(state),
                             "\": ready, suspect, resting, paused or leaving is expected"));
  }
  POTLUCK_RETURN_IF_ERROR(fields.status());
  return device;
}

// `with_ends`: from and to are expected.
absl::StatusOr<LinkProfile> ReadLink(const Json& json, const std::string& where, bool with_ends) {
  std::set<std::string> keys = {"round_trip_ms", "mbit_per_second", "relayed", "reachable"};
  if (with_ends) keys.insert({"from", "to"});
  Fields fields(json, where, std::move(keys));
  LinkProfile link;
  if (with_ends) {
    fields.Require("from");
    fields.Require("to");
  }
  fields.Text("from", link.from);
  fields.Text("to", link.to);
  fields.Flag("relayed", link.relayed);
  fields.Flag("reachable", link.reachable);
  if (link.reachable) {
    fields.Require("round_trip_ms");
    fields.Require("mbit_per_second");
  }
  fields.Number("round_trip_ms", 1e-3, link.round_trip_seconds);
  fields.Number("mbit_per_second", 1e6 / 8, link.bytes_per_second);
  POTLUCK_RETURN_IF_ERROR(fields.status());
  return link;
}

absl::StatusOr<std::span<const Json>> ReadArray(const Json& json, const char* key) {
  const Json* array = FindKey(json, key);
  if (array == nullptr) return std::span<const Json>();
  if (!array->is_array()) return absl::InvalidArgumentError(absl::StrCat(key, " is no array"));
  const auto& items = array->get_ref<const Json::array_t&>();
  return std::span<const Json>(items);
}

// Between all that no entry connects and that are on different hosts.
void AddOtherLinks(const LinkProfile& other, ClusterProfile& cluster) {
  std::map<std::string, std::string> host_of = {
      {cluster.coordinator_id, cluster.coordinator_host_id}};
  for (const DeviceProfile& device : cluster.devices) host_of[device.worker_id] = device.host_id;
  std::set<std::pair<std::string, std::string>> listed;
  for (const LinkProfile& link : cluster.links) {
    listed.emplace(link.from, link.to);
    listed.emplace(link.to, link.from);
  }
  for (auto from = host_of.begin(); from != host_of.end(); ++from) {
    for (auto to = std::next(from); to != host_of.end(); ++to) {
      if (listed.contains({from->first, to->first}) || from->second == to->second) continue;
      cluster.links.push_back(other);
      cluster.links.back().from = from->first;
      cluster.links.back().to = to->first;
    }
  }
}

// Who is alone on the coordinator's machine is taken for the worker of its own process.
std::string OwnWorkerOf(const ClusterProfile& cluster) {
  std::string own;
  for (const DeviceProfile& device : cluster.devices) {
    if (device.host_id != cluster.coordinator_host_id) continue;
    if (!own.empty() && own != device.worker_id) return "";
    own = device.worker_id;
  }
  return own;
}

}  // namespace

absl::StatusOr<ClusterProfile> ClusterFromJson(const Json& json) {
  ClusterProfile cluster;
  Fields top(json, "the file", {"coordinator", "devices", "links", "other_links"});
  top.Require("devices");
  POTLUCK_RETURN_IF_ERROR(top.status());
  if (const Json* coordinator = FindKey(json, "coordinator")) {
    Fields fields(*coordinator, "the coordinator", {"id", "host"});
    fields.Text("id", cluster.coordinator_id);
    fields.Text("host", cluster.coordinator_host_id);
    POTLUCK_RETURN_IF_ERROR(fields.status());
  }
  POTLUCK_ASSIGN_OR_RETURN(const std::span<const Json> devices, ReadArray(json, "devices"));
  for (size_t i = 0; i < devices.size(); ++i) {
    POTLUCK_ASSIGN_OR_RETURN(DeviceProfile device, ReadDevice(devices[i], i));
    cluster.devices.push_back(std::move(device));
  }
  cluster.coordinator_worker_id = OwnWorkerOf(cluster);
  POTLUCK_ASSIGN_OR_RETURN(const std::span<const Json> links, ReadArray(json, "links"));
  for (size_t i = 0; i < links.size(); ++i) {
    POTLUCK_ASSIGN_OR_RETURN(LinkProfile link, ReadLink(links[i], absl::StrCat("link ", i), true));
    cluster.links.push_back(std::move(link));
  }
  // First without the other links: their number grows with the square of the devices.
  POTLUCK_RETURN_IF_ERROR(partition::Validate(cluster));
  if (const Json* other = FindKey(json, "other_links")) {
    POTLUCK_ASSIGN_OR_RETURN(const LinkProfile link, ReadLink(*other, "other_links", false));
    AddOtherLinks(link, cluster);
  }
  POTLUCK_RETURN_IF_ERROR(partition::Validate(cluster));
  return cluster;
}

absl::StatusOr<ClusterProfile> ReadClusterFile(const std::string& path) {
  POTLUCK_ASSIGN_OR_RETURN(const Json json, model::ReadJsonObject(path, kMostFileBytes));
  absl::StatusOr<ClusterProfile> cluster = ClusterFromJson(json);
  if (!cluster.ok()) return Annotate(cluster.status(), path);
  return cluster;
}

}  // namespace potluck::cli
