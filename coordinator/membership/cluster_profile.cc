#include "coordinator/membership/cluster_profile.h"

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "partition/network.h"

namespace potluck::coordinator {
namespace {

partition::Availability AvailabilityOf(MemberState state) {
  switch (state) {
    case MemberState::kPaused:
      return partition::Availability::kPaused;
    case MemberState::kLeaving:
      return partition::Availability::kLeaving;
    case MemberState::kResting:
      return partition::Availability::kResting;
    case MemberState::kSuspect:
      return partition::Availability::kSuspect;
    default:
      return partition::Availability::kReady;
  }
}

// However busy others keep a machine, its scheduler gives a newcomer a fair share; where that is
// less than this leaves, the stage is seen to be slow.
constexpr double kMostLoad = 0.5;

const std::string& HostOf(const Member& member) {
  return member.hello.host.empty() ? member.hello.worker : member.hello.host;
}

// Of a device, read at the same moment: what of one is in the other is never counted twice.
struct Memory {
  int64_t free_bytes = 0, held_bytes = 0;
};
Memory MemoryOf(const Member& member, size_t index) {
  const wire::DeviceProfile& device = member.hello.devices[index];
  const wire::Heartbeat& heartbeat = member.heartbeat;
  Memory memory{device.free_memory_bytes, device.held_memory_bytes};
  if (index < heartbeat.free_memory_bytes.size()) {
    memory.free_bytes = heartbeat.free_memory_bytes[index];
    memory.held_bytes =
        index < heartbeat.held_memory_bytes.size() ? heartbeat.held_memory_bytes[index] : 0;
  }
  // Of what a worker may say, no more than a sum can take.
  memory.free_bytes = std::clamp<int64_t>(memory.free_bytes, 0, partition::kMostProfileBytes);
  memory.held_bytes = std::clamp<int64_t>(memory.held_bytes, 0, partition::kMostProfileBytes);
  return memory;
}

// A host's memory, as those see it that see as much of it: containers may have limits.
using HostMemory = std::pair<std::string, int64_t>;
HostMemory HostMemoryOf(const Member& member, size_t index) {
  return {HostOf(member), member.hello.devices[index].memory_bytes};
}

// What stages hold of the memory that all devices of a host share.
std::map<HostMemory, int64_t> HeldOnHosts(const std::map<wire::WorkerId, Member>& members) {
  std::map<HostMemory, int64_t> held;
  for (const auto& [id, member] : members) {
    if (!member.connected()) continue;
    for (size_t i = 0; i < member.hello.devices.size(); ++i) {
      if (!member.hello.devices[i].own_memory)
        held[HostMemoryOf(member, i)] += MemoryOf(member, i).held_bytes;
    }
  }
  return held;
}

// How busy each host is with what is not ours. What other workers of the same host do for the
// cluster is no load by others: their devices' shares of the host are the planner's to count. All
// of them see the same host; who sees the least is right, for one that has just joined was a load
// to the others while it measured itself.
std::map<std::string, double> LoadOfHosts(const std::map<wire::WorkerId, Member>& members) {
  std::map<std::string, double> ours, loads;
  for (const auto& [id, member] : members) {
    if (member.connected()) ours[HostOf(member)] += member.heartbeat.own_load;
  }
  for (const auto& [id, member] : members) {
    if (!member.connected()) continue;
    const double by_other_workers = ours[HostOf(member)] - member.heartbeat.own_load;
    const double load = std::clamp(member.heartbeat.load - by_other_workers, 0.0, kMostLoad);
    const auto known = loads.try_emplace(HostOf(member), load).first;
    known->second = std::min(known->second, load);
  }
  return loads;
}

// Devices of one host that are described alike, see as much memory and run the same program are
// equally fast: what disturbs a measurement makes it slower, so the fastest is right. A difference
// by chance would make stages uneven.
using Likeness = std::tuple<std::string, std::string, std::string, std::string, int64_t>;
Likeness LikenessOf(const Member& member, size_t index) {
  const wire::DeviceProfile& device = member.hello.devices[index];
  return {HostOf(member), member.hello.version.build, device.description, device.numerics_class,
          device.memory_bytes};
}

struct Speeds {
  std::map<kernels::DType, wire::DeviceProfile::Rate> rates;
  double step_overhead_seconds = 0, layer_overhead_seconds = 0;
};

std::map<Likeness, Speeds> FastestOf(const std::map<wire::WorkerId, Member>& members) {
  std::map<Likeness, Speeds> fastest;
  for (const auto& [id, member] : members) {
    if (!member.connected()) continue;
    for (size_t i = 0; i < member.hello.devices.size(); ++i) {
      const wire::DeviceProfile& device = member.hello.devices[i];
      const Speeds own = {{}, device.step_overhead_seconds, device.layer_overhead_seconds};
      Speeds& speeds = fastest.try_emplace(LikenessOf(member, i), own).first->second;
      speeds.step_overhead_seconds =
          std::min(speeds.step_overhead_seconds, device.step_overhead_seconds);
      speeds.layer_overhead_seconds =
          std::min(speeds.layer_overhead_seconds, device.layer_overhead_seconds);
      for (const wire::DeviceProfile::Rate& rate : device.rates) {
        wire::DeviceProfile::Rate& most = speeds.rates[rate.dtype];
        most.decode_bytes_per_second =
            std::max(most.decode_bytes_per_second, rate.decode_bytes_per_second);
        most.prefill_operations_per_second =
            std::max(most.prefill_operations_per_second, rate.prefill_operations_per_second);
      }
    }
  }
  return fastest;
}

// What can be said of a device only with its neighbours.
struct Hosts {
  std::map<HostMemory, int64_t> held_bytes;
  std::map<std::string, double> loads;
  std::map<Likeness, Speeds> speeds;
};

partition::DeviceProfile MakeDevice(const Member& member, size_t index, absl::Duration now,
                                    const Hosts& hosts) {
  const wire::DeviceProfile& device = member.hello.devices[index];
  partition::DeviceProfile profile;
  profile.id = DeviceId(member.hello.worker, device.device);
  profile.worker_id = member.hello.worker;
  profile.name = member.hello.name;
  profile.host_id = HostOf(member);
  profile.backend = device.backend;
  profile.numerics_class = device.numerics_class;
  profile.own_memory = device.own_memory;
  const Speeds& speeds = hosts.speeds.at(LikenessOf(member, index));
  for (const wire::DeviceProfile::Rate& own : device.rates) {
    const auto format = static_cast<size_t>(own.dtype);
    if (format >= profile.decode_bytes_per_second.size()) continue;
    const wire::DeviceProfile::Rate& rate = speeds.rates.at(own.dtype);
    profile.decode_bytes_per_second[format] = rate.decode_bytes_per_second;
    profile.prefill_operations_per_second[format] = rate.prefill_operations_per_second;
  }
  profile.step_overhead_seconds = speeds.step_overhead_seconds;
  profile.layer_overhead_seconds = speeds.layer_overhead_seconds;
  profile.load = hosts.loads.at(HostOf(member));
  const Memory memory = MemoryOf(member, index);
  const int64_t held =
      device.own_memory ? memory.held_bytes : hosts.held_bytes.at(HostMemoryOf(member, index));
  profile.total_memory_bytes = std::max(device.memory_bytes, device.free_memory_bytes);
  profile.free_memory_bytes = std::min(memory.free_bytes + held, profile.total_memory_bytes);
  profile.memory_limit_bytes = device.memory_limit_bytes;
  profile.free_disk_bytes = std::clamp<int64_t>(
      member.heartbeat.number > 0 ? member.heartbeat.disk_free_bytes : member.hello.disk_free_bytes,
      0, partition::kMostProfileBytes);
  profile.availability = AvailabilityOf(member.state(now));
  return profile;
}

// Of a link whose measuring did not end in time: a poor Wi-Fi's.
constexpr LinkQuality kUnmeasured = {true, 5e-3, 5e6};

partition::LinkProfile LinkOf(const wire::WorkerId& from, const wire::WorkerId& to,
                              const LinkQuality& quality) {
  return {
      .from = from,
      .to = to,
      .round_trip_seconds = std::clamp(quality.round_trip_seconds, 0.0, partition::kLongestSeconds),
      .bytes_per_second = std::clamp(quality.bytes_per_second, partition::kLeastPerSecond,
                                     partition::kMostPerSecond)};
}

bool Works(const LinkQuality& link) { return link.reachable && link.bytes_per_second > 0; }

// Both hops to and from the coordinator, stored and forwarded.
partition::LinkProfile RelayedLink(const partition::LinkProfile& first,
                                   const partition::LinkProfile& second) {
  partition::LinkProfile link =
      LinkOf(first.from, second.from,
             {.round_trip_seconds = first.round_trip_seconds + second.round_trip_seconds +
                                    2 * partition::kHopOverheadSeconds,
              .bytes_per_second = 1 / (1 / first.bytes_per_second + 1 / second.bytes_per_second)});
  link.relayed = true;
  return link;
}

bool Plannable(const Member& member, absl::Duration now) {
  return member.connected() && member.state(now) != MemberState::kJoining;
}

}  // namespace

std::string DeviceId(const wire::WorkerId& worker, const std::string& device) {
  return absl::StrCat(worker, "/", device);
}

partition::ClusterProfile MakeClusterProfile(const std::map<wire::WorkerId, Member>& members,
                                             const std::string& coordinator_host,
                                             absl::Duration now) {
  partition::ClusterProfile cluster;
  const Hosts hosts = {HeldOnHosts(members), LoadOfHosts(members), FastestOf(members)};
  cluster.coordinator_id = wire::kCoordinator;
  cluster.coordinator_host_id = coordinator_host;
  for (const auto& [id, member] : members) {
    if (!Plannable(member, now)) continue;
    for (size_t i = 0; i < member.hello.devices.size(); ++i)
      cluster.devices.push_back(MakeDevice(member, i, now, hosts));
  }
  std::erase_if(cluster.devices, [](const partition::DeviceProfile& device) {
    return std::ranges::none_of(device.decode_bytes_per_second, [](double r) { return r > 0; });
  });
  if (cluster.devices.size() > partition::kMaxDevices)
    cluster.devices.resize(partition::kMaxDevices);
  const auto has_device = [&](const wire::WorkerId& worker) {
    return worker == wire::kCoordinator ||
           std::ranges::find(cluster.devices, worker, &partition::DeviceProfile::worker_id) !=
               cluster.devices.end();
  };
  std::map<wire::WorkerId, partition::LinkProfile> to_coordinator;
  for (const auto& [id, member] : members) {
    if (!Plannable(member, now) || !has_device(id)) continue;
    const auto known = member.links.find(wire::kCoordinator);
    const bool works = known != member.links.end() && Works(known->second);
    to_coordinator[id] = LinkOf(id, wire::kCoordinator, works ? known->second : kUnmeasured);
    cluster.links.push_back(to_coordinator[id]);
  }
  for (const auto& [from, own] : to_coordinator) {
    for (const auto& [to, others] : to_coordinator) {
      if (from == to) continue;
      const Member& member = members.at(from);
      const Member& other = members.at(to);
      const auto link = member.links.find(to);
      if (link != member.links.end() && Works(link->second)) {
        cluster.links.push_back(LinkOf(from, to, link->second));
      } else if (!member.Dials(other) && !other.Dials(member)) {
        cluster.links.push_back(RelayedLink(own, others));
      }
    }
  }
  return cluster;
}

}  // namespace potluck::coordinator
