// The models that people can ask: what is loaded, as which instances, and by which names.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/api/load_request.h"
#include "coordinator/coordinator.h"
#include "coordinator/library/model_library.h"

namespace potluck::coordinator {

struct Served {
  std::shared_ptr<const ServedModel> model;
  model::InstanceId instance = 0;
  LoadRequest request;  // its model is a path
  std::vector<partition::Placement> previous;
  int64_t loaded_at = 0;  // Unix time

  // An alias, where it has one: that is what people called it.
  const std::string& name() const {
    return request.aliases.empty() ? model->name : request.aliases.front();
  }
  bool is_called(std::string_view name) const;
};

// Single-threaded: lives on the coordinator's executor.
class ServedModels {
 public:
  struct Options {
    std::function<int64_t()> unix_time;
    // What a MODEL argument means: a path, or a name in the models folder.
    std::function<absl::StatusOr<std::string>(const std::string&)> find_model;
    // Told before workers are asked to fetch it.
    std::function<void(const ServedModel&)> opened;
  };
  // Both must outlive the object.
  ServedModels(Options options, Coordinator& coordinator, ModelLibrary& library);

  // Tells `done` when it is known and its workers are being asked, or why it cannot be. `previous`:
  // where it ran in an earlier life of this coordinator.
  void Load(LoadRequest request, std::vector<partition::Placement> previous,
            std::function<void(const absl::Status&)> done);
  // By a name, a path, or an instance's id. InvalidArgument where several are meant.
  absl::Status Unload(const std::string& model);

  const std::map<model::InstanceId, Served>& all() const { return served_; }
  // Of those that have the name (empty: the model that was loaded first, and its replicas), the one
  // with the fewest requests. NotFound, with the names that there are; Unavailable while one is
  // being opened.
  absl::StatusOr<Served> Named(const std::string& name) const;
  // Of replicas of the same weights, the one with the fewest requests.
  Served LeastBusyReplica(const Served& served) const;
  // Of replicas of the same weights, the one that holds the most of the prompt already, unless
  // requests wait there: they are not to queue behind a common beginning while another one is free.
  Served ReplicaFor(const Served& served, const std::vector<model::TokenId>& prompt) const;
  int64_t ContextLength(const Served& served) const;
  // InvalidArgument: what the model would be asked for, all but its file.
  static absl::StatusOr<partition::InstanceWish> WishOf(const LoadRequest& request);
  absl::StatusOr<std::string> FindModel(const std::string& name) const {
    return options_.find_model(name);
  }

  // What is loaded, how, and where.
  struct Loaded {
    LoadRequest request;
    std::vector<partition::Placement> placements;
  };
  std::vector<Loaded> loaded() const;
  // Models that are still being opened do not count as ready.
  bool ready() const;
  // Why not.
  std::string WhatIsMissing() const;

 private:
  // One that serves goes first; null: there is none.
  const Served* LeastBusy(const std::function<bool(const Served&)>& is_meant) const;

  const Options options_;
  Coordinator& coordinator_;
  ModelLibrary& library_;
  std::map<model::InstanceId, Served> served_;
  int num_opening_ = 0;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace potluck::coordinator
