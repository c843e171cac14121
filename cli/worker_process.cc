#include "cli/worker_process.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/environment.h"
#include "cli/network.h"
#include "cli/terminal.h"
#include "common/host_port.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/mutex.h"
#include "common/status_macros.h"
#include "common/thread_executor.h"
#include "kernels/devices.h"
#include "model/store/blob_cache.h"
#include "model/store/manifest_cache.h"
#include "wire/grpc/grpc_server.h"
#include "wire/grpc/grpc_transport.h"
#include "wire/grpc/join_client.h"
#include "wire/trust/identity_renewal.h"
#include "wire/version.h"
#include "wire/weights/weights_server.h"
#include "worker/profile/device_profile.h"
#include "worker/profile/energy_meter.h"
#include "worker/profile/host.h"
#include "worker/weights/own_files.h"
#include "worker/weights/weights_loader.h"

namespace potluck::cli {
namespace {

constexpr uint16_t kDefaultPort = 7080;
constexpr int kPortsToTry = 64;
constexpr int kNiceLooking = 10;  // of the thread that looks for models: nothing waits for it

absl::StatusOr<std::vector<wire::DeviceProfile>> ProfileDevices(
    const WorkerProcessOptions& options) {
  std::vector<wire::DeviceProfile> profiles;
  worker::LoadMeter load;
  for (const std::string& name : options.devices) {
    POTLUCK_ASSIGN_OR_RETURN(
        const auto device,
        kernels::OpenDevice({.device = name, .num_threads = options.num_threads}));
    POTLUCK_ASSIGN_OR_RETURN(
        wire::DeviceProfile profile,
        worker::ProfileDevice(*device, SteadyClock(),
                              {.state_folder = options.state_folder,
                               .version = POTLUCK_VERSION,
                               .memory_limit_bytes = options.memory_limit_bytes,
                               .measure_again = options.measure_again,
                               .load_by_others = [&load] { return load.Read().others; }}));
    profiles.push_back(std::move(profile));
  }
  return profiles;
}

// Those that a coordinator of this user has read, and that are as they were then.
std::shared_ptr<model::LocalFiles> KnownFiles(const std::string& cache_folder) {
  auto files = std::make_shared<model::LocalFiles>();
  for (const model::IndexedManifest& known :
       model::ManifestCache(ManifestsFolder(cache_folder)).All())
    files->Add(known);
  return files;
}

// Where a port is given, that one; otherwise 7080, or the next free one.
absl::StatusOr<std::unique_ptr<wire::GrpcServer>> Listen(
    const std::string& listen, const wire::TlsIdentity& identity,
    std::shared_ptr<wire::TrafficMeter> traffic, ThreadExecutor& executor,
    wire::LinkAcceptor& acceptor) {
  POTLUCK_ASSIGN_OR_RETURN(HostPort at, ParseHostPort(listen));
  const int tries = at.port == 0 ? kPortsToTry : 1;
  for (int i = 0;; ++i) {
    const auto port = tries > 1 ? static_cast<uint16_t>(kDefaultPort + i) : at.port;
    auto server = wire::GrpcServer::Start(
        executor, acceptor,
        {.identity = identity, .addresses = {JoinHostPort(at.host, port)}, .traffic = traffic});
    if (server.ok() || i + 1 >= tries) return server;
  }
}

Histogram& HeartbeatRoundTrips(MetricRegistry& metrics) {
  return metrics.AddHistogram(
      "potluck_heartbeat_round_trip_seconds", "From a heartbeat to the coordinator's answer",
      {.0002, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 5}, {});
}

Histogram& WeightLoads(MetricRegistry& metrics) {
  return metrics.AddHistogram("potluck_weights_load_seconds",
                              "Until a stage's weights were on its device, fetched where need be",
                              {.1, .2, .5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000}, {});
}

}  // namespace

std::string HostName() {
  char name[256] = "";
  gethostname(name, sizeof(name) - 1);
  const std::string full(name);
  return full.substr(0, full.find('.'));
}

class WorkerProcess::Impl {
 public:
  Impl(WorkerProcessOptions options, std::shared_ptr<model::BlobCache> cache)
      : options_(std::move(options)),
        store_(std::move(cache), options_.local_files),
        claims_(options_.memory_limit_bytes) {}

  ~Impl() {
    logic_.RunAndWait([this] {
      renewal_.reset();
      worker_.reset();
      loader_.reset();
      own_files_.reset();
      weights_.reset();
      server_.reset();
      transport_.reset();
    });
    // Threads of what they gave up still post to the logic.
    disposal_.RunAndWait([] {});
  }

  absl::Status Start(const wire::TlsIdentity& identity, std::vector<wire::DeviceProfile> profiles,
                     worker::WorkerEvents events) {
    absl::Status status;
    logic_.RunAndWait(
        [&] { status = StartHere(identity, std::move(profiles), std::move(events)); });
    return status;
  }

  void Leave() {
    logic_.Post([this] {
      if (worker_ != nullptr) worker_->Leave();
    });
  }
  void Pause(bool paused) {
    logic_.Post([this, paused] {
      Log(LogLevel::kInfo, paused ? "paused by its owner" : "resumed by its owner");
      if (worker_ != nullptr) worker_->Pause(paused);
    });
  }

 private:
  // Passes links on to the worker, which is made after the listener's port is known.
  struct Acceptor final : wire::LinkAcceptor {
    wire::LinkHandler& OnLink(wire::LinkKind kind, std::unique_ptr<wire::Link> link) override {
      return worker->OnLink(kind, std::move(link));
    }
    worker::Worker* worker = nullptr;
  };

  absl::Status StartHere(const wire::TlsIdentity& identity,
                         std::vector<wire::DeviceProfile> profiles, worker::WorkerEvents events) {
    if (!options_.listen.empty()) {
      POTLUCK_ASSIGN_OR_RETURN(server_,
                               Listen(options_.listen, identity, traffic_, logic_, acceptor_));
      POTLUCK_ASSIGN_OR_RETURN(const HostPort coordinator,
                               ParseHostPort(options_.coordinator.front()));
      own_addresses_.emplace(options_.advertise.empty() ? server_->addresses() : options_.advertise,
                             coordinator.host);
    }
    transport_ = std::make_unique<wire::GrpcTransport>(logic_, identity, traffic_);
    const wire::Version version = wire::OurVersion(POTLUCK_VERSION);
    weights_ = std::make_unique<wire::WeightsServer>(
        wire::WeightsServerOptions{.version = version, .who = "the worker"}, store_, logic_,
        files_);
    own_files_ = std::make_unique<worker::OwnFiles>(
        options_.models_folder, model::ManifestCache(ManifestsFolder(options_.cache_folder)),
        options_.local_files, looking_);
    looking_.Post([] { [[maybe_unused]] const int now = nice(kNiceLooking); });
    loader_ = std::make_unique<worker::WeightsLoader>(
        worker::WeightsLoaderOptions{
            .coordinator = {.worker = wire::kCoordinator,
                            .name = wire::kCoordinator,
                            .addresses = options_.coordinator},
            .manifests_folder = FetchedManifestsFolder(options_.cache_folder),
            .look_for = [this](auto manifest) { own_files_->LookFor(std::move(manifest)); },
            .open_device =
                [threads = options_.num_threads](const std::string& device) {
                  return kernels::OpenDevice({.device = device, .num_threads = threads});
                },
            .claims = &claims_,
            .make_thread = [] { return std::make_unique<ThreadExecutor>("stage"); },
            .loaded = [&loads = WeightLoads(metrics_)](
                          absl::Duration took) { loads.Observe(absl::ToDoubleSeconds(took)); }},
        store_,
        worker::WeightsSurroundings{.self = identity.id,
                                    .version = version,
                                    .executor = logic_,
                                    .files = files_,
                                    .disposal = disposal_,
                                    .transport = *transport_});
    events.keep_copy = [this](const wire::KeepCopy& copy,
                              absl::AnyInvocable<void(absl::Status)> done) {
      loader_->KeepCopy(copy, [done = std::move(done)](absl::Status status) mutable {
        if (!status.ok()) Log(LogLevel::kWarning, "copy not kept", {{"status", status}});
        done(std::move(status));
      });
    };
    events.heartbeat_answered = [&trips = HeartbeatRoundTrips(metrics_)](absl::Duration trip) {
      trips.Observe(absl::ToDoubleSeconds(trip));
    };
    events.tell_metrics = [this](absl::AnyInvocable<void(std::string)> done) {
      reading_.Post([this, done = std::move(done)]() mutable {
        logic_.Post([done = std::move(done), text = metrics_.Text(MachineMetrics())]() mutable {
          done(std::move(text));
        });
      });
    };
    if (!options_.metrics.empty()) {
      POTLUCK_ASSIGN_OR_RETURN(exporter_, MetricExporter::Start(options_.metrics, metrics_, [this] {
                                 return MachineMetrics();
                               }));
      POTLUCK_ASSIGN_OR_RETURN(HostPort at, ParseHostPort(options_.metrics));
      at.port = static_cast<uint16_t>(exporter_->port());
      POTLUCK_ASSIGN_OR_RETURN(metrics_address_, Reachable(JoinHostPort(at.host, at.port)));
    }
    std::random_device random;
    worker::WorkerOptions options;
    options.hello = {.version = version,
                     .worker = identity.id,
                     .name = options_.name.empty() ? HostName() : options_.name,
                     .process = uint64_t{random()} << 32 | random(),
                     .host = worker::HostIdentity(),
                     .devices = std::move(profiles),
                     .metrics = metrics_address_};
    if (own_addresses_) options.addresses = [this] { return own_addresses_->Now(); };
    options.coordinator_addresses = options_.coordinator;
    options.drain_timeout = options_.drain_timeout;
    options.seed = uint64_t{random()} << 32 | random();
    options.traffic = [this] { return traffic_->Read(); };
    options.machine_state = [this] {
      std::vector<int64_t> held;
      for (const std::string& device : options_.devices) held.push_back(claims_.HeldBytes(device));
      worker::MachineState state = watch_.Read(held);
      state.disk_free_bytes = DiskForWeights();
      return state;
    };
    worker_ = std::make_unique<worker::Worker>(std::move(options), std::move(events), logic_,
                                               *transport_, *loader_, weights_.get());
    acceptor_.worker = worker_.get();
    worker_->Start();
    renewal_ = std::make_unique<wire::IdentityRenewal>(
        wire::IdentityRenewal::Options{
            .identity = identity,
            .now = [] { return absl::Now(); },
            .renew =
                [address = options_.coordinator.front()](const wire::TlsIdentity& old) {
                  return wire::RenewIdentity(old, address, POTLUCK_VERSION);
                },
            .renewed = [this](const wire::TlsIdentity& renewed) { Use(renewed); }},
        logic_, renewing_);
    return absl::OkStatus();
  }

  // On any thread.
  std::vector<MetricFamily> MachineMetrics() {
    std::vector<MetricFamily> families = ProcessMetrics(POTLUCK_VERSION);
    MetricFamily& energy = families.emplace_back();
    energy = {.name = "potluck_energy_joules_total",
              .help = "Energy that this machine has used since this worker started",
              .type = MetricFamily::Type::kCounter,
              .samples = {}};
    MutexLock lock(energy_mutex_);
    for (const worker::EnergyUsed& used : energy_.Read())
      energy.samples.push_back({{{"source", used.source}}, used.joules});
    return families;
  }

  // By the cache's limit, and by what stays free on the disk in any case.
  int64_t DiskForWeights() const {
    const int64_t free_bytes = worker::FreeDiskBytes(options_.cache_folder) -
                               static_cast<int64_t>(model::kDefaultMinFreeBytes);
    const absl::StatusOr<uint64_t> most = store_.cache()->MaxBytes();
    const auto limit = static_cast<int64_t>(most.value_or(0));
    return std::clamp<int64_t>(free_bytes, 0, limit);
  }

  void Use(const wire::TlsIdentity& identity) {
    transport_->UseIdentity(identity);
    if (server_ != nullptr) server_->UseIdentity(identity);
    const absl::Status kept =
        options_.keep_identity ? options_.keep_identity(identity) : absl::OkStatus();
    if (!kept.ok()) Log(LogLevel::kWarning, "certificate not kept", {{"status", kept}});
  }

  const WorkerProcessOptions options_;
  ThreadExecutor disposal_{"disposal"};  // ends last: the logic posts to it
  ThreadExecutor looking_{"own-files"};
  ThreadExecutor logic_{"worker"};
  ThreadExecutor files_{"files"},
      renewing_{"renewing"};  // end first: their tasks post to the logic
  model::BlobStore store_;
  worker::MemoryClaims claims_;
  worker::MachineWatch watch_;
  Mutex energy_mutex_;  // for those who read at once
  worker::EnergyMeter energy_ ABSL_GUARDED_BY(energy_mutex_){options_.sys_folder};
  MetricRegistry metrics_;
  ThreadExecutor reading_{"metrics"};         // ends before what its tasks read
  std::unique_ptr<MetricExporter> exporter_;  // ends before what its thread reads
  std::string metrics_address_;               // as others reach the exporter; empty: there is none
  const std::shared_ptr<wire::TrafficMeter> traffic_ = std::make_shared<wire::TrafficMeter>();
  Acceptor acceptor_;
  std::optional<OwnAddresses> own_addresses_;
  std::unique_ptr<wire::GrpcTransport> transport_;
  std::unique_ptr<wire::GrpcServer> server_;
  std::unique_ptr<wire::WeightsServer> weights_;
  std::unique_ptr<worker::OwnFiles> own_files_;
  std::unique_ptr<worker::WeightsLoader> loader_;
  std::unique_ptr<worker::Worker> worker_;
  std::unique_ptr<wire::IdentityRenewal> renewal_;
};

absl::StatusOr<std::unique_ptr<WorkerProcess>> WorkerProcess::Start(WorkerProcessOptions options,
                                                                    wire::TlsIdentity identity,
                                                                    worker::WorkerEvents events) {
  POTLUCK_ASSIGN_OR_RETURN(std::vector<wire::DeviceProfile> profiles, ProfileDevices(options));
  POTLUCK_ASSIGN_OR_RETURN(auto cache,
                           model::BlobCache::Open({.folder = options.cache_folder,
                                                   .max_bytes = options.cache_limit_bytes,
                                                   .now = [] { return absl::Now(); }}));
  if (options.local_files == nullptr) options.local_files = KnownFiles(options.cache_folder);
  auto impl = std::make_unique<Impl>(std::move(options), std::move(cache));
  POTLUCK_RETURN_IF_ERROR(impl->Start(identity, std::move(profiles), std::move(events)));
  return std::unique_ptr<WorkerProcess>(new WorkerProcess(std::move(impl)));
}

WorkerProcess::WorkerProcess(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
WorkerProcess::~WorkerProcess() = default;
void WorkerProcess::Leave() { impl_->Leave(); }
void WorkerProcess::Pause(bool paused) { impl_->Pause(paused); }

}  // namespace potluck::cli
