#include "cli/coordinator_process.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <optional>
#include <random>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/environment.h"
#include "cli/model_options.h"
#include "cli/network.h"
#include "cli/process.h"
#include "cli/terminal.h"
#include "common/files.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/status_macros.h"
#include "common/thread_executor.h"
#include "coordinator/api/cluster_watch.h"
#include "coordinator/api/grpc/grpc_api.h"
#include "coordinator/api/http/http_api.h"
#include "coordinator/api/http/http_server.h"
#include "coordinator/api/inference.h"
#include "coordinator/api/served_models.h"
#include "coordinator/api/server_certificate.h"
#include "coordinator/api/step_metrics.h"
#include "coordinator/coordinator.h"
#include "coordinator/library/model_library.h"
#include "coordinator/state/cluster_state.h"
#include "model/store/blob_cache.h"
#include "wire/grpc/grpc_server.h"
#include "wire/trust/cluster_authority.h"
#include "wire/trust/identity_renewal.h"
#include "wire/trust/join_codes.h"
#include "wire/trust/join_desk.h"
#include "wire/trust/keys.h"
#include "wire/version.h"
#include "wire/weights/weights_server.h"
#include "worker/profile/host.h"

namespace potluck::cli {
namespace {

constexpr char kStateName[] = "cluster.json";
constexpr size_t kKeyBytes = 24;
// How soon a wait of the main thread sees an interrupt.
constexpr std::chrono::milliseconds kGlance(50);
constexpr uint64_t kMostKeyBytes = 256, kMostStateBytes = uint64_t{16} << 20;

absl::StatusOr<coordinator::ClusterState> ReadState(const StateFolder& folder) {
  const absl::StatusOr<std::string> text =
      ReadFile(folder.path() + "/" + kStateName, kMostStateBytes);
  if (absl::IsNotFound(text.status())) return coordinator::ClusterState{};
  POTLUCK_RETURN_IF_ERROR(text.status());
  auto state = coordinator::ParseClusterState(*text, absl::Now());
  if (!state.ok()) {
    return absl::DataLossError(absl::StrCat(folder.path(), "/", kStateName, " is damaged (",
                                            state.status().message(),
                                            "): remove it to start without its models"));
  }
  return state;
}

// Made at the first start, and the same from then on.
absl::StatusOr<std::string> KeyNamed(const StateFolder& folder, const char* name,
                                     const char* prefix) {
  absl::StatusOr<std::string> key = ReadFile(folder.path() + "/" + name, kMostKeyBytes);
  if (!absl::IsNotFound(key.status())) return key;
  POTLUCK_ASSIGN_OR_RETURN(const std::string digits, wire::RandomDigits(kKeyBytes));
  const std::string made = absl::StrCat(prefix, digits);
  POTLUCK_RETURN_IF_ERROR(WriteFileAtomically(folder.path() + "/" + name, made));
  return made;
}

}  // namespace

class CoordinatorProcess::Impl {
 public:
  Impl(CoordinatorProcessOptions options, StateFolder state)
      : options_(std::move(options)),
        folder_(std::move(state)),
        manifests_(ManifestsFolder(options_.cache_folder)),
        random_(std::random_device()()) {}

  ~Impl() {
    logic_.RunAndWait([this] {
      renewal_.reset();
      watch_.reset();  // its streams end, and the servers see that off
      http_.reset();
      grpc_.reset();
      server_.reset();
      api_.reset();
      inference_.reset();
      models_.reset();
      library_.reset();
      coordinator_.reset();
      weights_.reset();
    });
  }

  absl::Status Start() {
    if (speaks_tls()) {
      POTLUCK_ASSIGN_OR_RETURN(certificate_, coordinator::CertificateFiles::Open(
                                                 options_.certificate, options_.certificate_key));
    }
    POTLUCK_ASSIGN_OR_RETURN(state_, ReadState(folder_));
    // Where the file was removed, workers may still hold stages of a later term than it would say.
    state_.term = std::max(state_.term + 1, absl::ToUnixSeconds(absl::Now()));
    POTLUCK_RETURN_IF_ERROR(
        WriteFileAtomically(StatePath(), coordinator::ToJson(state_, absl::Now())));
    POTLUCK_ASSIGN_OR_RETURN(wire::ClusterAuthority authority,
                             wire::ClusterAuthority::OpenOrCreate(folder_.path(), absl::Now()));
    authority_.emplace(std::move(authority));
    POTLUCK_ASSIGN_OR_RETURN(
        wire::JoinCodes codes,
        wire::JoinCodes::OpenOrCreate(folder_.path(), authority_->key_name(), absl::Now()));
    codes_.emplace(std::move(codes));
    if (options_.needs_keys) {
      if (options_.api_keys.empty()) {
        POTLUCK_ASSIGN_OR_RETURN(api_key_, KeyNamed(folder_, "api-key", "pk-"));
      }
      POTLUCK_ASSIGN_OR_RETURN(admin_key_, KeyNamed(folder_, "admin-key", "pa-"));
    }
    absl::Status status;
    logic_.RunAndWait([&] { status = StartHere(); });
    return status;
  }

  absl::Status Load(const coordinator::LoadRequest& request) {
    auto loaded = std::make_shared<std::promise<absl::Status>>();
    logic_.Post([this, asked = request, loaded]() mutable {
      std::vector<partition::Placement> previous;
      for (const coordinator::KeptInstance& kept : state_.instances) {
        if (kept.request.model != asked.model) continue;
        previous = kept.placements;
        // Where it runs already it has a context.
        if (asked.context_length == 0) asked.context_length = kept.request.context_length;
      }
      if (asked.context_length == 0) previous.clear();
      const std::string name = asked.model;
      models_->Load(std::move(asked), std::move(previous),
                    [this, loaded, name](const absl::Status& status) {
                      if (status.ok()) Opened(name);
                      loaded->set_value(status);
                    });
    });
    std::future<absl::Status> result = loaded->get_future();
    while (result.wait_for(kGlance) != std::future_status::ready) {
      if (Interrupted()) return absl::CancelledError("stopped");
    }
    return result.get();
  }

  void LoadAgain(const std::vector<std::string>& but) {
    for (const coordinator::KeptInstance& kept : state_.instances) {
      if (std::ranges::find(but, kept.request.model) != but.end()) continue;
      logic_.Post([this, kept] {
        const bool had_plan = kept.request.context_length > 0;
        models_->Load(
            kept.request, had_plan ? kept.placements : std::vector<partition::Placement>(),
            [this, kept](const absl::Status& status) {
              if (status.ok()) return Opened(kept.request.model);
              Log(LogLevel::kWarning, "model not loaded; it is tried again at the next start",
                  {{"model", kept.request.model}, {"status", status}});
            });
      });
    }
  }

  void SetOwnWorker(const std::string& worker) {
    logic_.Post([this, worker] { coordinator_->SetOwnWorker(worker); });
  }

  void Drain(absl::Duration timeout) {
    auto ended = std::make_shared<std::promise<void>>();
    logic_.Post([this, ended, timeout] {
      const size_t running = inference_->StopTaking([ended] { ended->set_value(); });
      if (grpc_ != nullptr) grpc_->SetServing(false);
      if (running == 0) return;
      Log(LogLevel::kInfo, "stopping; running requests end first (Ctrl-C again: at once)",
          {{"requests", running}, {"timeout", timeout}});
    });
    std::future<void> all = ended->get_future();
    const absl::Time until = absl::Now() + timeout;
    while (all.wait_for(kGlance) != std::future_status::ready && absl::Now() < until &&
           !Interrupted())
      continue;
    logic_.RunAndWait([this] {
      inference_->EndAll(
          absl::UnavailableError("the coordinator was stopped before the answer's "
                                 "end: ask again when it is back"));
    });
  }

  void SetOnReady(std::function<void()> ready) {
    logic_.Post([this, ready = std::move(ready)]() mutable { on_ready_ = std::move(ready); });
  }

  const std::vector<std::string>& http_addresses() const { return http_addresses_; }
  const std::vector<std::string>& grpc_addresses() const { return grpc_addresses_; }
  bool speaks_tls() const { return !options_.certificate.empty(); }
  const std::vector<std::string>& listen_addresses() const { return listen_addresses_; }
  const std::string& api_key() const { return api_key_; }
  const std::string& admin_key() const { return admin_key_; }
  const std::shared_ptr<model::LocalFiles>& local_files() const { return local_; }
  absl::StatusOr<std::string> JoinLine() {
    absl::StatusOr<std::string> line = absl::UnknownError("not asked");
    logic_.RunAndWait([&] { line = JoinLineHere(/*replace=*/false); });
    return line;
  }
  absl::StatusOr<wire::TlsIdentity> MakeWorkerIdentity(const std::string& private_key) const {
    return authority_->MakeWorkerIdentity(private_key, absl::Now());
  }

 private:
  std::string StatePath() const { return folder_.path() + "/" + kStateName; }

  absl::StatusOr<std::string> JoinLineHere(bool replace) {
    POTLUCK_ASSIGN_OR_RETURN(const wire::JoinCode code,
                             replace ? codes_->Replace(absl::Now()) : codes_->Current(absl::Now()));
    POTLUCK_ASSIGN_OR_RETURN(const std::string address, Reachable(listen_addresses_.front()));
    return absl::StrCat(address, "/", wire::FormatJoinCode(code));
  }

  coordinator::AccessRules Access() const {
    coordinator::AccessRules rules{.api_keys = options_.api_keys,
                                   .admin_key = admin_key_,
                                   .open = options_.no_auth,
                                   .cors_origins = options_.cors_origins};
    if (!api_key_.empty()) rules.api_keys.push_back({.name = "default", .key = api_key_});
    return rules;
  }

  coordinator::HttpApiOptions ApiOptions() {
    return {.access = Access(),
            .join_line = [this](bool replace) { return JoinLineHere(replace); }};
  }

  coordinator::ServedModels::Options ModelsOptions() {
    return {.unix_time = [] { return absl::ToUnixSeconds(absl::Now()); },
            .find_model =
                [folder = options_.models_folder](const std::string& name) {
                  return FindModel({.model = name, .models_dir = folder});
                },
            .opened =
                [this](const coordinator::ServedModel& model) {
                  weights_->AddManifest(model.manifest, model.manifest_bytes);
                }};
  }

  coordinator::Inference::Options InferenceOptions() {
    return {.unix_time = [] { return absl::ToUnixSeconds(absl::Now()); },
            .local_time = [] { return LocalTime(); },
            .random = [this] { return random_(); }};
  }

  absl::Status StartHere() {
    const wire::Version version = wire::OurVersion(POTLUCK_VERSION);
    weights_ = std::make_unique<wire::WeightsServer>(
        wire::WeightsServerOptions{.version = version, .who = "the coordinator"},
        model::BlobStore(nullptr, local_), logic_, files_);
    unopened_ = state_.instances;
    coordinator_ = std::make_unique<coordinator::Coordinator>(
        coordinator::CoordinatorOptions{
            .version = version,
            .term = state_.term,
            .cluster = options_.cluster,
            .host = worker::HostIdentity(),
            .known_workers = state_.workers,
            .wait_for_workers = options_.wait_for_workers,
            .traffic = [traffic = traffic_] { return traffic->Read(); }},
        logic_, planner_, *weights_);
    library_ = std::make_unique<coordinator::ModelLibrary>(manifests_, *local_, opening_, logic_);
    models_ =
        std::make_unique<coordinator::ServedModels>(ModelsOptions(), *coordinator_, *library_);
    inference_ = std::make_unique<coordinator::Inference>(
        InferenceOptions(), coordinator::Inference::Around{.coordinator = *coordinator_,
                                                           .models = *models_,
                                                           .executor = logic_,
                                                           .reading = reading_,
                                                           .metrics = metrics_});
    watch_ = std::make_unique<coordinator::ClusterWatch>(*coordinator_, logic_);
    api_ = std::make_unique<coordinator::HttpApi>(
        ApiOptions(), coordinator::HttpApi::Around{.coordinator = *coordinator_,
                                                   .models = *models_,
                                                   .inference = *inference_,
                                                   .watch = *watch_,
                                                   .metrics = metrics_,
                                                   .executor = logic_,
                                                   .thinking = thinking_});
    coordinator_->SetObserver([this] { OnChanged(); });
    coordinator_->SetStepObserver([this](const auto& instance, auto timings, absl::Duration took) {
      steps_.OnStep(instance, timings, took);
    });
    POTLUCK_ASSIGN_OR_RETURN(const wire::TlsIdentity identity,
                             authority_->MakeCoordinatorIdentity(absl::Now()));
    desk_ = std::make_unique<wire::JoinDesk>(
        *authority_, *codes_, [] { return absl::Now(); }, POTLUCK_VERSION);
    POTLUCK_ASSIGN_OR_RETURN(server_, wire::GrpcServer::Start(logic_, *coordinator_,
                                                              {.identity = identity,
                                                               .addresses = {options_.listen},
                                                               .join_desk = desk_.get(),
                                                               .traffic = traffic_}));
    listen_addresses_ = server_->addresses();
    renewal_ = std::make_unique<wire::IdentityRenewal>(
        wire::IdentityRenewal::Options{
            .identity = identity,
            .now = [] { return absl::Now(); },
            .renew =
                [this](const wire::TlsIdentity&) {
                  return authority_->MakeCoordinatorIdentity(absl::Now());
                },
            .renewed = [this](const wire::TlsIdentity& renewed) { server_->UseIdentity(renewed); }},
        logic_, logic_);
    coordinator::HttpServerOptions http;
    http.addresses = options_.http;
    // Workers and files need descriptors, whoever connects here.
    http.max_connections =
        static_cast<int>(std::min<int64_t>(http.max_connections, MostDescriptors() / 2));
    if (certificate_)
      http.certificate = [files = certificate_] { return files->Current().for_asio; };
    http.common_headers = [rules = Access()](const coordinator::HttpRequest& request) {
      return CorsHeaders(rules, request);
    };
    POTLUCK_ASSIGN_OR_RETURN(
        http_, coordinator::HttpServer::Start(
                   http, logic_, [this](const auto& request) { return api_->Refusal(request); },
                   [this](auto exchange) { api_->Handle(std::move(exchange)); }));
    http_addresses_ = http_->addresses();
    return options_.grpc.empty() ? absl::OkStatus() : StartGrpc();
  }

  absl::Status StartGrpc() {
    POTLUCK_ASSIGN_OR_RETURN(
        grpc_, coordinator::GrpcApi::Start(
                   {.addresses = options_.grpc, .certificate = certificate_, .access = Access()},
                   coordinator::GrpcApi::Around{.coordinator = *coordinator_,
                                                .models = *models_,
                                                .inference = *inference_,
                                                .watch = *watch_,
                                                .metrics = metrics_,
                                                .executor = logic_}));
    grpc_addresses_ = grpc_->addresses();
    return absl::OkStatus();
  }

  void Opened(const std::string& model) {
    const auto kept =
        std::ranges::find(unopened_, model, [](const auto& entry) { return entry.request.model; });
    if (kept != unopened_.end()) unopened_.erase(kept);
    OnChanged();
  }

  void OnChanged() {
    coordinator::ClusterState now{
        .term = state_.term, .instances = unopened_, .workers = coordinator_->membership().Known()};
    for (coordinator::ServedModels::Loaded& loaded : models_->loaded())
      now.instances.push_back({std::move(loaded.request), std::move(loaded.placements)});
    const std::string text = coordinator::ToJson(now, absl::Now());
    if (std::exchange(written_, text) != text) {
      files_.Post([this, text] {
        const absl::Status status = WriteFileAtomically(StatePath(), text);
        if (!status.ok()) Log(LogLevel::kWarning, "state not kept", {{"status", status}});
      });
    }
    const bool ready = models_->ready();
    if (ready && !std::exchange(was_ready_, ready) && on_ready_) on_ready_();
    was_ready_ = ready;
    if (grpc_ != nullptr) grpc_->SetServing(ready && !inference_->stopping());
  }

  const CoordinatorProcessOptions options_;
  const StateFolder folder_;
  const model::ManifestCache manifests_;
  const std::shared_ptr<model::LocalFiles> local_ = std::make_shared<model::LocalFiles>();
  std::mt19937_64 random_;
  coordinator::ClusterState state_;  // as it was at the start, with this start's term
  std::vector<coordinator::KeptInstance> unopened_;  // of them; kept until they serve again
  std::string written_;
  std::optional<wire::ClusterAuthority> authority_;
  std::optional<wire::JoinCodes> codes_;
  std::string api_key_, admin_key_;
  std::shared_ptr<coordinator::CertificateFiles> certificate_;  // null: there is none
  std::vector<std::string> http_addresses_, grpc_addresses_, listen_addresses_;
  const std::shared_ptr<wire::TrafficMeter> traffic_ = std::make_shared<wire::TrafficMeter>();
  MetricRegistry metrics_;
  coordinator::StepMetrics steps_{metrics_};
  std::function<void()> on_ready_;
  bool was_ready_ = false;
  ThreadExecutor logic_{"coordinator"}, planner_{"planner"};
  ThreadExecutor opening_{"opening"};  // of new models: files_ serves weights of others meanwhile
  // These end before the logic, to which their tasks post, and after all that posts to them.
  ThreadExecutor files_{"files"}, thinking_{"thinking"}, reading_{"requests"};
  std::unique_ptr<wire::WeightsServer> weights_;
  std::unique_ptr<coordinator::Coordinator> coordinator_;
  std::unique_ptr<coordinator::ModelLibrary> library_;
  std::unique_ptr<coordinator::ServedModels> models_;
  std::unique_ptr<coordinator::Inference> inference_;
  std::unique_ptr<coordinator::ClusterWatch> watch_;
  std::unique_ptr<coordinator::HttpApi> api_;
  std::unique_ptr<wire::JoinDesk> desk_;
  std::unique_ptr<wire::GrpcServer> server_;
  std::unique_ptr<wire::IdentityRenewal> renewal_;
  std::unique_ptr<coordinator::HttpServer> http_;
  std::unique_ptr<coordinator::GrpcApi> grpc_;  // null: there is none
};

absl::StatusOr<std::unique_ptr<CoordinatorProcess>> CoordinatorProcess::Start(
    const CoordinatorProcessOptions& options, StateFolder state) {
  auto impl = std::make_unique<Impl>(options, std::move(state));
  POTLUCK_RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<CoordinatorProcess>(new CoordinatorProcess(std::move(impl)));
}

CoordinatorProcess::CoordinatorProcess(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CoordinatorProcess::~CoordinatorProcess() = default;

absl::Status CoordinatorProcess::Load(const coordinator::LoadRequest& request) {
  return impl_->Load(request);
}
void CoordinatorProcess::LoadAgain(const std::vector<std::string>& but) { impl_->LoadAgain(but); }
void CoordinatorProcess::Drain(absl::Duration timeout) { impl_->Drain(timeout); }
void CoordinatorProcess::SetOnReady(std::function<void()> ready) {
  impl_->SetOnReady(std::move(ready));
}
const std::vector<std::string>& CoordinatorProcess::http_addresses() const {
  return impl_->http_addresses();
}
const std::vector<std::string>& CoordinatorProcess::grpc_addresses() const {
  return impl_->grpc_addresses();
}
bool CoordinatorProcess::speaks_tls() const { return impl_->speaks_tls(); }
const std::vector<std::string>& CoordinatorProcess::listen_addresses() const {
  return impl_->listen_addresses();
}
const std::string& CoordinatorProcess::api_key() const { return impl_->api_key(); }
const std::string& CoordinatorProcess::admin_key() const { return impl_->admin_key(); }
const std::shared_ptr<model::LocalFiles>& CoordinatorProcess::local_files() const {
  return impl_->local_files();
}
absl::StatusOr<std::string> CoordinatorProcess::JoinLine() const { return impl_->JoinLine(); }
void CoordinatorProcess::SetOwnWorker(const std::string& worker) { impl_->SetOwnWorker(worker); }
absl::StatusOr<wire::TlsIdentity> CoordinatorProcess::MakeWorkerIdentity(
    const std::string& private_key) const {
  return impl_->MakeWorkerIdentity(private_key);
}

}  // namespace potluck::cli
