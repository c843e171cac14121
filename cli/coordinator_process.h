// A coordinator and all that it needs, put together: state, trust, listeners, the models' files.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/state_folder.h"
#include "coordinator/api/http/access.h"
#include "coordinator/api/load_request.h"
#include "model/store/local_files.h"
#include "wire/trust/tls_identity.h"

namespace potluck::cli {

struct CoordinatorProcessOptions {
  std::string cluster;            // its name, for people
  std::vector<std::string> http;  // "HOST:PORT"
  std::vector<std::string> grpc;  // "HOST:PORT" for people's gRPC; empty: there is none
  std::string listen;             // "HOST:PORT" for workers
  std::string cache_folder, models_folder;
  bool needs_keys = false;                    // ask for API keys from other machines
  bool no_auth = false;                       // ask nobody
  std::vector<coordinator::ApiKey> api_keys;  // empty: one is made where one is needed
  std::vector<std::string> cors_origins;
  std::string certificate, certificate_key;  // files, for people's TLS; empty: plain text
  absl::Duration wait_for_workers = absl::Seconds(60);
};

class CoordinatorProcess {
 public:
  // Takes its state folder. Errors say which address or folder is at fault.
  static absl::StatusOr<std::unique_ptr<CoordinatorProcess>> Start(
      const CoordinatorProcessOptions& options, StateFolder state);
  ~CoordinatorProcess();

  // Blocks until the model's file is read, or an interrupt comes.
  absl::Status Load(const coordinator::LoadRequest& request);
  // What was loaded when an earlier life of this coordinator ended, but for models of these paths.
  void LoadAgain(const std::vector<std::string>& but);
  // Called, from another thread, when all models have become ready, each time.
  void SetOnReady(std::function<void()> ready);

  // Takes no new requests, and blocks until the running ones have ended, `timeout` has passed, or
  // an interrupt comes; those that are left end in an error.
  void Drain(absl::Duration timeout);

  const std::vector<std::string>& http_addresses() const;
  const std::vector<std::string>& grpc_addresses() const;
  bool speaks_tls() const;
  const std::vector<std::string>& listen_addresses() const;
  const std::string& api_key() const;  // that was made; empty: none was
  const std::string& admin_key() const;
  // Of the models that it serves, for a worker in this process.
  const std::shared_ptr<model::LocalFiles>& local_files() const;
  // HOST:PORT/CODE: what other machines join with.
  absl::StatusOr<std::string> JoinLine() const;
  // For a worker in this process, with that private key.
  absl::StatusOr<wire::TlsIdentity> MakeWorkerIdentity(const std::string& private_key) const;
  void SetOwnWorker(const std::string& worker);

 private:
  class Impl;
  explicit CoordinatorProcess(std::unique_ptr<Impl> impl);

  const std::unique_ptr<Impl> impl_;
};

}  // namespace potluck::cli
