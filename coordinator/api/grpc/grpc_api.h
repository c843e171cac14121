// What people's programs ask the coordinator over gRPC: potluck/v1/inference.proto, with the
// standard health service and reflection beside it, on a listener of its own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/executor.h"
#include "common/metrics.h"
#include "coordinator/api/cluster_watch.h"
#include "coordinator/api/http/access.h"
#include "coordinator/api/inference.h"
#include "coordinator/api/served_models.h"
#include "coordinator/api/server_certificate.h"
#include "coordinator/coordinator.h"

namespace potluck::coordinator {

struct GrpcApiOptions {
  std::vector<std::string> addresses;             // "HOST:PORT"; port 0: any free one
  std::shared_ptr<CertificateFiles> certificate;  // null: plain text
  AccessRules access;
};

// Lives on the coordinator's executor.
class GrpcApi {
 public:
  // All must outlive the object.
  struct Around {
    Coordinator& coordinator;
    ServedModels& models;
    Inference& inference;
    ClusterWatch& watch;
    MetricRegistry& metrics;
    Executor& executor;
  };

  // Unavailable where it cannot listen on an address.
  static absl::StatusOr<std::unique_ptr<GrpcApi>> Start(GrpcApiOptions options,
                                                        const Around& around);
  // Ends all calls.
  ~GrpcApi();

  // As asked for, with the ports that were chosen.
  const std::vector<std::string>& addresses() const;
  // What the health service answers.
  void SetServing(bool serving);

 private:
  class Impl;
  explicit GrpcApi(std::unique_ptr<Impl> impl);

  const std::unique_ptr<Impl> impl_;
};

}  // namespace potluck::coordinator
