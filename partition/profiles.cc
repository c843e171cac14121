#include "partition/profiles.h"

#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace potluck::partition {
namespace {

constexpr size_t kMaxIdLength = 200;
constexpr size_t kMaxLinks = 2 * (kMaxDevices + 1) * kMaxDevices;

absl::Status CheckId(const std::string& id, absl::string_view what) {
  if (id.empty()) return absl::InvalidArgumentError(absl::StrCat(what, " has no id"));
  if (id.size() > kMaxIdLength || Printable(id, kMaxIdLength) != id) {
    return absl::InvalidArgumentError(absl::StrCat(what, " has the id \"", Printable(id),
                                                   "\": printable text of at most ", kMaxIdLength,
                                                   " bytes is expected"));
  }
  return absl::OkStatus();
}

// Comparisons are written so that NaN fails them.
absl::Status CheckRange(double value, double least, double most, absl::string_view where,
                        absl::string_view what) {
  if (value >= least && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(where, " says that its ", what, " is ", value,
                                                 ": from ", least, " to ", most, " is expected"));
}

absl::Status CheckRates(const DeviceProfile& device, absl::string_view where) {
  bool any = false;
  for (const kernels::DTypeTraits& format : kernels::WeightDTypes()) {
    const double prefill = device.prefill_operations_per_second[static_cast<int>(format.dtype)];
    const double decode = device.decode_bytes_per_second[static_cast<int>(format.dtype)];
    if (prefill == 0 && decode == 0) continue;
    any = true;
    POTLUCK_RETURN_IF_ERROR(
        CheckRange(prefill, kLeastPerSecond, kMostPerSecond, where,
                   absl::StrCat("prefill rate for ", ToAbsl(format.name), " (operations/s)")));
    POTLUCK_RETURN_IF_ERROR(
        CheckRange(decode, kLeastPerSecond, kMostPerSecond, where,
                   absl::StrCat("decode bandwidth for ", ToAbsl(format.name), " (bytes/s)")));
  }
  if (any) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(where, " names no format that it computes with"));
}

absl::Status CheckMemory(const DeviceProfile& device, absl::string_view where) {
  const std::pair<int64_t, absl::string_view> sizes[] = {
      {device.total_memory_bytes, "total memory (bytes)"},
      {device.free_memory_bytes, "free memory (bytes)"},
      {device.memory_limit_bytes, "memory limit (bytes)"},
      {device.free_disk_bytes, "free disk (bytes)"}};
  for (const auto& [bytes, what] : sizes) {
    if (bytes >= 0 && bytes <= kMostProfileBytes) continue;
    return absl::InvalidArgumentError(absl::StrCat(where, " says that its ", what, " is ", bytes,
                                                   ": from 0 to ", kMostProfileBytes,
                                                   " is expected"));
  }
  if (device.free_memory_bytes <= device.total_memory_bytes) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(where, " says that ", device.free_memory_bytes,
                                                 " of ", device.total_memory_bytes,
                                                 " bytes of memory are free"));
}

absl::Status CheckDevice(const DeviceProfile& device) {
  POTLUCK_RETURN_IF_ERROR(CheckId(device.id, "a device"));
  const std::string where = absl::StrCat("device ", device.id);
  POTLUCK_RETURN_IF_ERROR(CheckId(device.worker_id, absl::StrCat("the worker of ", where)));
  POTLUCK_RETURN_IF_ERROR(CheckId(device.host_id, absl::StrCat("the host of ", where)));
  for (const std::string* text : {&device.name, &device.backend, &device.numerics_class}) {
    if (!text->empty()) POTLUCK_RETURN_IF_ERROR(CheckId(*text, absl::StrCat("a label of ", where)));
  }
  POTLUCK_RETURN_IF_ERROR(CheckRates(device, where));
  POTLUCK_RETURN_IF_ERROR(CheckRange(device.layer_overhead_seconds, 0, kLongestSeconds, where,
                                     "overhead per layer (s)"));
  POTLUCK_RETURN_IF_ERROR(
      CheckRange(device.step_overhead_seconds, 0, kLongestSeconds, where, "overhead per step (s)"));
  POTLUCK_RETURN_IF_ERROR(CheckRange(device.load, 0, 1, where, "load"));
  POTLUCK_RETURN_IF_ERROR(CheckRange(device.load_bytes_per_second, kLeastPerSecond, kMostPerSecond,
                                     where, "loading speed (bytes/s)"));
  return CheckMemory(device, where);
}

absl::Status CheckLink(const LinkProfile& link) {
  const std::string where = absl::StrCat("the link from ", link.from, " to ", link.to);
  if (link.from == link.to) return absl::InvalidArgumentError(absl::StrCat(where, " is a loop"));
  if (!link.reachable) return absl::OkStatus();
  POTLUCK_RETURN_IF_ERROR(
      CheckRange(link.round_trip_seconds, 0, kLongestSeconds, where, "round trip (s)"));
  return CheckRange(link.bytes_per_second, kLeastPerSecond, kMostPerSecond, where,
                    "bandwidth (bytes/s)");
}

}  // namespace

absl::Status Validate(const ClusterProfile& cluster) {
  POTLUCK_RETURN_IF_ERROR(CheckId(cluster.coordinator_id, "the coordinator"));
  if (cluster.devices.size() > kMaxDevices || cluster.links.size() > kMaxLinks) {
    return absl::InvalidArgumentError(
        absl::StrCat("a cluster of ", cluster.devices.size(), " devices and ", cluster.links.size(),
                     " links: at most ", kMaxDevices, " and ", kMaxLinks, " can be planned"));
  }
  std::set<std::string> ids;
  std::map<std::string, const DeviceProfile*> workers = {{cluster.coordinator_id, nullptr}};
  for (const DeviceProfile& device : cluster.devices) {
    POTLUCK_RETURN_IF_ERROR(CheckDevice(device));
    if (!ids.insert(device.id).second)
      return absl::InvalidArgumentError(absl::StrCat("two devices have the id ", device.id));
    if (device.worker_id == cluster.coordinator_id) {
      return absl::InvalidArgumentError(absl::StrCat("the worker of device ", device.id,
                                                     " has the coordinator's id ",
                                                     cluster.coordinator_id));
    }
    const DeviceProfile* mate = workers.emplace(device.worker_id, &device).first->second;
    if (mate->host_id != device.host_id || mate->free_disk_bytes != device.free_disk_bytes) {
      return absl::InvalidArgumentError(absl::StrCat("devices ", mate->id, " and ", device.id,
                                                     " are of one worker, ", device.worker_id,
                                                     ", but name different hosts or free disks"));
    }
  }
  std::set<std::pair<std::string, std::string>> links;
  for (const LinkProfile& link : cluster.links) {
    for (const std::string* end : {&link.from, &link.to}) {
      if (workers.contains(*end)) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          "a link names \"", Printable(*end), "\", which is neither a worker nor the coordinator"));
    }
    POTLUCK_RETURN_IF_ERROR(CheckLink(link));
    if (!links.emplace(link.from, link.to).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("the link from ", link.from, " to ", link.to, " is listed twice"));
    }
  }
  return absl::OkStatus();
}

std::string UnavailableReason(Availability availability) {
  switch (availability) {
    case Availability::kSuspect:
      return "it is suspect: nothing was heard from it for a while";
    case Availability::kResting:
      return "it rests: it was lost three times in ten minutes";
    case Availability::kPaused:
      return "it is paused: its owner wants it for other things (`potluck resume` brings it back)";
    case Availability::kLeaving:
      return "it is leaving the cluster";
    case Availability::kReady:
      break;
  }
  return "";
}

}  // namespace potluck::partition
