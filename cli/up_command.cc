// potluck up: the coordinator of a cluster, with this machine's devices as its first worker.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/command.h"
#include "cli/coordinator_process.h"
#include "cli/environment.h"
#include "cli/load_options.h"
#include "cli/model_options.h"
#include "cli/network.h"
#include "cli/owner_signals.h"
#include "cli/terminal.h"
#include "cli/worker_options.h"
#include "cli/worker_process.h"
#include "common/files.h"
#include "common/host_port.h"
#include "common/log.h"
#include "common/state_folder.h"
#include "common/status_macros.h"
#include "wire/trust/keys.h"

namespace potluck::cli {
namespace {

constexpr uint16_t kHttpPort = 7070, kClusterPort = 7071, kGrpcPort = 7072;
constexpr char kWorkerKey[] = "worker-key.pem";
constexpr uint64_t kMostKeyBytes = 16 << 10, kMostApiKeysBytes = 1 << 20;

struct UpOptions {
  std::vector<std::string> models;
  std::string models_dir, cluster;
  std::vector<std::string> http, grpc;
  std::string listen;
  std::string api_keys;  // a file
  std::vector<std::string> cors_origins;
  std::string certificate, certificate_key;  // files
  bool lan = false, no_worker = false, no_auth = false;
  double wait_seconds = 60;
  coordinator::LoadRequest load;
  WorkerFlags worker;
};

absl::StatusOr<std::vector<coordinator::ApiKey>> ReadApiKeys(const std::string& path) {
  POTLUCK_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMostApiKeysBytes));
  auto keys = coordinator::ParseApiKeys(text);
  if (!keys.ok()) return UsageError(absl::StrCat(path, ": ", keys.status().message()));
  if (keys->empty())
    return UsageError(absl::StrCat(path, " holds no keys: give lines of NAME KEY"));
  return keys;
}

// Loopback unless the person says otherwise.
absl::StatusOr<CoordinatorProcessOptions> CoordinatorOptionsOf(const UpOptions& options) {
  CoordinatorProcessOptions with;
  const std::string host = options.lan ? "0.0.0.0" : "127.0.0.1";
  with.cluster = options.cluster.empty() ? HostName() : options.cluster;
  with.http = options.http;
  if (with.http.empty()) with.http = {JoinHostPort(host, kHttpPort)};
  with.listen = options.listen.empty() ? JoinHostPort(host, kClusterPort) : options.listen;
  with.cache_folder =
      options.worker.cache_folder.empty() ? DefaultCacheFolder() : options.worker.cache_folder;
  with.models_folder = options.models_dir;
  with.wait_for_workers = absl::Seconds(options.wait_seconds);
  with.no_auth = options.no_auth;
  with.cors_origins = options.cors_origins;
  for (const std::string& address : options.grpc) {
    POTLUCK_ASSIGN_OR_RETURN(const HostPort at, ParseHostPort(WithPort(address, kGrpcPort)));
    with.grpc.push_back(JoinHostPort(at.host, at.port));
  }
  with.certificate = options.certificate;
  with.certificate_key = options.certificate_key;
  if (!options.api_keys.empty()) {
    POTLUCK_ASSIGN_OR_RETURN(with.api_keys, ReadApiKeys(options.api_keys));
    with.needs_keys = !options.no_auth;
  }
  for (const std::vector<std::string>& addresses : {with.http, with.grpc}) {
    for (const std::string& address : addresses) {
      POTLUCK_ASSIGN_OR_RETURN(const HostPort at, ParseHostPort(address));
      if (!IsLoopback(at.host) && !options.no_auth) with.needs_keys = true;
    }
  }
  return with;
}

absl::Status PrintWelcome(const CoordinatorProcess& coordinator) {
  for (const std::string& http : coordinator.http_addresses()) {
    POTLUCK_ASSIGN_OR_RETURN(const std::string address, Reachable(http));
    absl::PrintF("API             %s%s\n", coordinator.speaks_tls() ? "https://" : "http://",
                 address);
  }
  for (const std::string& grpc : coordinator.grpc_addresses()) {
    POTLUCK_ASSIGN_OR_RETURN(const std::string address, Reachable(grpc));
    absl::PrintF("gRPC            %s%s\n", address, coordinator.speaks_tls() ? " (TLS)" : "");
  }
  POTLUCK_ASSIGN_OR_RETURN(const std::string line, coordinator.JoinLine());
  absl::PrintF("add a machine   potluck join %s\n", line);
  if (!coordinator.api_key().empty()) absl::PrintF("API key         %s\n", coordinator.api_key());
  if (!coordinator.admin_key().empty())
    absl::PrintF("admin key       %s\n", coordinator.admin_key());
  std::fflush(stdout);
  return absl::OkStatus();
}

// Other commands of this user find the cluster by it.
absl::Status WriteUrl(const CoordinatorProcess& coordinator) {
  POTLUCK_ASSIGN_OR_RETURN(HostPort at, ParseHostPort(coordinator.http_addresses().front()));
  at.host = DialledHere(at.host);
  std::error_code error;
  std::filesystem::create_directories(DefaultStateFolder(), error);
  // Loopback may go on in plain text, which asks for no name in the certificate.
  const bool https = coordinator.speaks_tls() && !IsLoopback(at.host);
  std::ofstream(CoordinatorUrlFile())
      << (https ? "https://" : "http://") << JoinHostPort(at.host, at.port) << "\n";
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<WorkerProcess>> StartWorker(WorkerProcessOptions with,
                                                           CoordinatorProcess& coordinator,
                                                           const StateFolder& state) {
  with.state_folder = state.path();
  const std::string path = state.path() + "/" + kWorkerKey;
  absl::StatusOr<std::string> key = ReadFile(path, kMostKeyBytes);
  if (absl::IsNotFound(key.status())) {
    key = wire::MakePrivateKey();
    POTLUCK_RETURN_IF_ERROR(key.status());
    POTLUCK_RETURN_IF_ERROR(WriteFileAtomically(path, *key));
  }
  POTLUCK_RETURN_IF_ERROR(key.status());
  POTLUCK_ASSIGN_OR_RETURN(wire::TlsIdentity identity, coordinator.MakeWorkerIdentity(*key));
  POTLUCK_ASSIGN_OR_RETURN(const HostPort at,
                           ParseHostPort(coordinator.listen_addresses().front()));
  with.coordinator = {JoinHostPort(DialledHere(at.host), at.port)};
  with.local_files = coordinator.local_files();
  coordinator.SetOwnWorker(identity.id);
  with.listen = JoinHostPort(at.host, 0);
  return WorkerProcess::Start(std::move(with), std::move(identity), {});
}

// What the command line names, then what an earlier life had. Until an interrupt.
absl::Status LoadModels(const UpOptions& options, CoordinatorProcess& coordinator) {
  std::vector<std::string> paths;
  for (const std::string& model : options.models) {
    POTLUCK_ASSIGN_OR_RETURN(const std::string path,
                             FindModel({.model = model, .models_dir = options.models_dir}));
    coordinator::LoadRequest request = options.load;
    request.model = path;
    paths.push_back(path);
    const absl::Status status = coordinator.Load(request);
    if (absl::IsCancelled(status)) return absl::OkStatus();
    POTLUCK_RETURN_IF_ERROR(status);
  }
  coordinator.LoadAgain(paths);
  return absl::OkStatus();
}

absl::Status RunUp(const UpOptions& options) {
  if (options.models.size() > 1 && !options.load.aliases.empty())
    return UsageError("--alias names one MODEL: give the others to `potluck load` with their own");
  OwnerSignals owner;
  POTLUCK_RETURN_IF_ERROR(StartLog(options.worker));
  POTLUCK_ASSIGN_OR_RETURN(const CoordinatorProcessOptions with, CoordinatorOptionsOf(options));
  POTLUCK_ASSIGN_OR_RETURN(WorkerProcessOptions worker_options, WorkerOptionsOf(options.worker));
  if (!options.models_dir.empty()) worker_options.models_folder = options.models_dir;
  POTLUCK_ASSIGN_OR_RETURN(StateFolder state,
                           StateFolder::Lock(StateBase(options.worker), "coordinator"));
  const bool is_first = state.path() == StateBase(options.worker) + "/coordinator";
  std::optional<StateFolder> worker_state;
  if (!options.no_worker) {
    POTLUCK_ASSIGN_OR_RETURN(StateFolder locked,
                             StateFolder::Lock(StateBase(options.worker), "worker"));
    worker_state.emplace(std::move(locked));
  }
  // The coordinator ends first: this machine's own end is no loss of a worker.
  std::unique_ptr<WorkerProcess> worker;
  POTLUCK_ASSIGN_OR_RETURN(const std::unique_ptr<CoordinatorProcess> coordinator,
                           CoordinatorProcess::Start(with, std::move(state)));
  coordinator->SetOnReady([in_words = TellsInWords(options.worker)] {
    if (in_words) {
      absl::FPrintF(stderr, "ready\n");
    } else {
      Log(LogLevel::kInfo, "ready");
    }
  });
  POTLUCK_RETURN_IF_ERROR(PrintWelcome(*coordinator));
  if (is_first) {
    POTLUCK_RETURN_IF_ERROR(WriteUrl(*coordinator));
  } else {
    absl::FPrintF(
        stderr,
        "note: another coordinator with this state folder runs already; this is a "
        "cluster of its own, with keys and workers of its own: ask it with --url http://%s\n",
        coordinator->http_addresses().front());
  }
  if (worker_state) {
    POTLUCK_ASSIGN_OR_RETURN(worker,
                             StartWorker(std::move(worker_options), *coordinator, *worker_state));
  }
  POTLUCK_RETURN_IF_ERROR(LoadModels(options, *coordinator));
  owner.WaitForInterrupt([&](bool paused) {
    if (worker != nullptr) worker->Pause(paused);
  });
  ClearInterrupt();
  coordinator->Drain(absl::Seconds(options.worker.drain_seconds));
  return absl::OkStatus();
}

}  // namespace

void AddUpCommand(CLI::App& app, Command& command) {
  auto options = std::make_shared<UpOptions>();
  CLI::App* up = app.add_subcommand(
      "up", "Start a cluster: its coordinator, and this machine as its first worker");
  up->add_option("MODEL", options->models,
                 ".gguf files, Hugging Face folders, or names in the models folder");
  up->add_option("--models-dir", options->models_dir,
                 "Where models are looked up by name (default: $XDG_DATA_HOME/potluck/models)");
  up->add_flag("--lan", options->lan,
               "Let other machines join and ask; makes an API key and an admin key");
  up->add_flag("--no-worker", options->no_worker, "Only coordinate");
  up->add_option("--http", options->http,
                 "HOST:PORT for people (default: 127.0.0.1:7070, with --lan 0.0.0.0:7070)")
      ->delimiter(',')
      ->check(AddressTrouble);
  up->add_option("--grpc", options->grpc,
                 "HOST or HOST:PORT (default: 7072) for people's programs that speak gRPC: "
                 "docs/grpc.md")
      ->delimiter(',')
      ->check(
          [](const std::string& address) { return AddressTrouble(WithPort(address, kGrpcPort)); });
  up->add_option("--listen", options->listen,
                 "HOST:PORT for workers (default: 127.0.0.1:7071, with --lan 0.0.0.0:7071)")
      ->check(AddressTrouble);
  up->add_flag("--no-auth", options->no_auth, "Ask nobody for an API key, wherever HTTP is open");
  up->add_option("--api-keys", options->api_keys,
                 "File of API keys for people, a line each: NAME KEY (default: one key is made "
                 "where HTTP is open to others)");
  up->add_option("--cors-origin", options->cors_origins,
                 "Web pages of these origins may ask, too: https://chat.example")
      ->delimiter(',');
  CLI::Option* certificate =
      up->add_option("--tls-cert", options->certificate,
                     "Speak HTTPS with this certificate: a PEM file with its chain, read again "
                     "when it changes");
  up->add_option("--tls-key", options->certificate_key,
                 "PEM file of its private key (default: it is in the certificate's file)")
      ->needs(certificate);
  up->add_option("--cluster-name", options->cluster, "What people call it (default: the host's)");
  up->add_option("--wait-for-workers", options->wait_seconds,
                 "Seconds that a first plan waits for workers of --layers, and running requests "
                 "for lost ones")
      ->transform(CLI::AsNumberWithUnit(std::map<std::string, double>{{"s", 1}, {"m", 60}}))
      ->check(CLI::Range(0.0, 86400.0))
      ->capture_default_str();
  AddLoadOptions(*up, options->load);
  AddWorkerFlags(*up, options->worker);
  up->footer(
      "Examples:\n"
      "  potluck up model.gguf\n"
      "  potluck up --config cluster.toml\n"
      "  potluck up --lan qwen3-8b-q4_k_m --ctx 16384\n"
      "  potluck up model.gguf --layers desk=0-11,pi4=12-21 --wait-for-workers 120s");
  up->callback([options, &command] { command = [options] { return RunUp(*options); }; });
}

}  // namespace potluck::cli
