#include "tests/partition/clusters.h"

#include <cmath>

#include "partition/eligibility.h"

namespace potluck::partition {

DeviceProfile MakeDevice(const std::string& id, double bytes_per_second, int64_t free_bytes) {
  DeviceProfile device{.id = id,
                       .worker_id = id,
                       .name = id,
                       .host_id = "host of " + id,
                       .backend = "cpu",
                       .numerics_class = "cpu-1",
                       .total_memory_bytes = 2 * free_bytes,
                       .free_memory_bytes = free_bytes,
                       .free_disk_bytes = 100 * kGiB};
  device.decode_bytes_per_second.fill(bytes_per_second);
  device.prefill_operations_per_second.fill(100 * bytes_per_second);
  return device;
}

LinkProfile MakeLink(const std::string& from, const std::string& to, double round_trip_seconds,
                     double bytes_per_second) {
  return {.from = from,
          .to = to,
          .round_trip_seconds = round_trip_seconds,
          .bytes_per_second = bytes_per_second};
}

ClusterProfile MakeCluster(std::vector<DeviceProfile> devices, double round_trip_seconds,
                           double bytes_per_second) {
  ClusterProfile cluster{.coordinator_host_id = "host of the coordinator"};
  for (size_t i = 0; i < devices.size(); ++i) {
    cluster.links.push_back(MakeLink(cluster.coordinator_id, devices[i].worker_id,
                                     round_trip_seconds, bytes_per_second));
    for (size_t j = 0; j < i; ++j) {
      cluster.links.push_back(MakeLink(devices[j].worker_id, devices[i].worker_id,
                                       round_trip_seconds, bytes_per_second));
    }
  }
  cluster.devices = std::move(devices);
  return cluster;
}

ModelShape MakeModel(int64_t num_layers, int64_t layer_bytes, int64_t end_bytes) {
  const auto work = [](int64_t bytes) {
    return WeightWork{.dtype = kernels::DType::kQ8_0,
                      .held_bytes = bytes,
                      .operations_per_token = 2.0 * static_cast<double>(bytes)};
  };
  ModelShape model{.name = "stew",
                   .model_dim = 1024,
                   .head_dim = 64,
                   .context_length = 1 << 20,
                   .embedding = work(end_bytes),
                   .embedding_row_bytes = 1024,
                   .head = work(end_bytes),
                   .activation_bytes_per_token = 16384,
                   .activation_bytes_per_output = 65536};
  model.embedding.operations_per_token = 0;
  for (int64_t i = 0; i < num_layers; ++i) {
    model.layers.push_back(
        {.weights = {work(layer_bytes)}, .kv_values = 512, .operations_per_visit = 4096});
  }
  return model;
}

InstanceWish MakeWish(ModelShape model) {
  InstanceWish wish{.id = "i1", .model = std::move(model), .context_length = 512};
  wish.copies = 1;
  return wish;
}

ClusterProfile RandomCluster(std::mt19937_64& random, int num_devices) {
  const auto between = [&](double low, double high) {
    const double u = std::uniform_real_distribution<double>(0, 1)(random);
    return low * std::pow(high / low, u);
  };
  std::vector<DeviceProfile> devices;
  for (int i = 0; i < num_devices; ++i) {
    DeviceProfile device = MakeDevice("d" + std::to_string(i), between(1e9, 30e9),
                                      static_cast<int64_t>(between(0.2, 6.0) * kGiB));
    device.prefill_operations_per_second.fill(between(1e9, 300e9));
    device.step_overhead_seconds = between(1e-6, 1e-3);
    device.layer_overhead_seconds = between(1e-6, 1e-4);
    device.load = between(1, 1.5) - 1;
    device.own_memory = random() % 4 == 0;
    if (i > 0 && random() % 3 == 0) device.host_id = devices[random() % devices.size()].host_id;
    devices.push_back(device);
  }
  ClusterProfile cluster = MakeCluster(devices);
  if (random() % 2 == 0) cluster.coordinator_host_id = devices[0].host_id;
  std::vector<LinkProfile> links;
  for (LinkProfile link : cluster.links) {
    link.round_trip_seconds = between(1e-4, 30e-3);
    link.bytes_per_second = between(1e6, 1e9);
    link.reachable = random() % 12 != 0;
    if (random() % 8 != 0) links.push_back(link);
  }
  cluster.links = links;
  return cluster;
}

ModelShape RandomModel(std::mt19937_64& random, int64_t num_layers) {
  ModelShape model = MakeModel(num_layers, 0, static_cast<int64_t>(random() % 400) * kMiB);
  model.tied_embeddings = random() % 2 == 0;
  for (LayerShape& layer : model.layers) {
    const auto bytes = static_cast<int64_t>(50 + random() % 300) * kMiB;
    layer.weights[0].held_bytes = bytes;
    layer.weights[0].operations_per_token = 2.0 * static_cast<double>(bytes);
    if (random() % 3 == 0) layer.weights[0].touched_share = 0.25;
    if (random() % 2 == 0) layer.window = 64;
  }
  return model;
}

Planned::Planned(const ClusterProfile& profile, const InstanceWish& asked)
    : cluster(profile),
      wish(asked),
      devices(EligibleDevices(profile, asked, others).devices),
      model(cluster, wish, others, devices) {}

std::vector<Slice> Planned::SlicesOf(const InstancePlan& plan) const {
  std::vector<Slice> slices;
  for (const StagePlan& stage : plan.stages) {
    for (int number = 0; number < model.num_devices(); ++number) {
      if (model.device(number).id == stage.device_id)
        slices.push_back({number, stage.first_layer, stage.last_layer + 1});
    }
  }
  return slices;
}

}  // namespace potluck::partition
