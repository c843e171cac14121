#include "coordinator/api/served_models.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "partition/layer_wishes.h"

namespace potluck::coordinator {
namespace {

bool IsReplica(const Served& a, const Served& b) { return a.model->manifest == b.model->manifest; }

}  // namespace

bool Served::is_called(std::string_view name) const {
  return model->name == name || std::ranges::find(request.aliases, name) != request.aliases.end();
}

ServedModels::ServedModels(Options options, Coordinator& coordinator, ModelLibrary& library)
    : options_(std::move(options)), coordinator_(coordinator), library_(library) {}

absl::StatusOr<partition::InstanceWish> ServedModels::WishOf(const LoadRequest& request) {
  partition::InstanceWish wish;
  wish.context_length = request.context_length;
  wish.parallel = request.parallel;
  wish.kv_dtype = request.kv_dtype;
  wish.spread = request.spread;
  wish.copies = request.copies;
  if (request.layers.empty()) return wish;
  POTLUCK_ASSIGN_OR_RETURN(wish.layers, partition::ParseLayerWishes(request.layers));
  return wish;
}

void ServedModels::Load(LoadRequest request, std::vector<partition::Placement> previous,
                        std::function<void(const absl::Status&)> done) {
  auto path = options_.find_model(request.model);
  if (!path.ok()) return done(path.status());
  request.model = *path;
  const auto wished = WishOf(request);
  if (!wished.ok()) return done(wished.status());
  ++num_opening_;
  library_.Open(*path,
                [this, alive = std::weak_ptr(alive_), request = std::move(request), wish = *wished,
                 previous = std::move(previous), done = std::move(done)](auto opened) mutable {
                  if (alive.expired()) return;
                  --num_opening_;
                  if (!opened.ok()) return done(opened.status());
                  const std::shared_ptr<const ServedModel> model = *std::move(opened);
                  if (options_.opened) options_.opened(*model);
                  wish.model = model->shape;
                  wish.previous = previous;
                  InstanceModel instance;
                  instance.name = model->name;
                  instance.manifest = model->manifest.bytes;
                  instance.kv_dtype = request.kv_dtype;
                  instance.max_step_tokens = wish.max_step_tokens;
                  instance.windowed = model->window > 0;
                  instance.scheduled.vocab_size = model->vocab_size;
                  instance.scheduled.model_dim = model->shape.model_dim;
                  instance.scheduled.window = model->window;
                  instance.scheduled.context_length = model->shape.context_length;
                  const auto id = coordinator_.Load(std::move(instance), std::move(wish));
                  if (id.ok()) served_[*id] = {model, *id, request, previous, options_.unix_time()};
                  done(id.status());
                });
}

absl::Status ServedModels::Unload(const std::string& name) {
  std::vector<model::InstanceId> meant;
  for (const auto& [id, served] : served_) {
    if (name == absl::StrCat(id)) {
      meant = {id};
      break;
    }
    if (served.is_called(name) || served.request.model == name) meant.push_back(id);
  }
  if (meant.empty()) return Named(name).status();
  if (meant.size() > 1) {
    return absl::InvalidArgumentError(absl::StrCat(Printable(name), " is loaded ", meant.size(),
                                                   " times: give one of the instances ",
                                                   absl::StrJoin(meant, ", "), " instead"));
  }
  served_.erase(meant.front());
  return coordinator_.Unload(meant.front());
}

const Served* ServedModels::LeastBusy(const std::function<bool(const Served&)>& is_meant) const {
  const Served* best = nullptr;
  int64_t least = 0;
  for (const Instance* instance : coordinator_.instances()) {
    const auto found = served_.find(instance->model().id);
    if (found == served_.end() || !is_meant(found->second)) continue;
    const InstanceScheduler& scheduler = instance->scheduler();
    const int64_t load = (instance->serving() ? 0 : int64_t{1} << 32) + scheduler.num_active() +
                         scheduler.num_waiting();
    if (best == nullptr || load < least) {
      best = &found->second;
      least = load;
    }
  }
  return best;
}

absl::StatusOr<Served> ServedModels::Named(const std::string& name) const {
  const Served* best = LeastBusy([&](const Served& served) {
    return name.empty() ? IsReplica(served, served_.begin()->second) : served.is_called(name);
  });
  if (best != nullptr) return *best;
  std::vector<std::string> names;
  for (const auto& [id, served] : served_) names.push_back(served.name());
  if (num_opening_ > 0) return absl::UnavailableError("the model is being loaded");
  return absl::NotFoundError(names.empty()
                                 ? "no model is loaded: potluck load MODEL"
                                 : absl::StrCat("there is no model ", Printable(name),
                                                " here, but ", absl::StrJoin(names, ", ")));
}

Served ServedModels::LeastBusyReplica(const Served& served) const {
  const Served* best = LeastBusy([&](const Served& other) { return IsReplica(other, served); });
  return best == nullptr ? served : *best;
}

Served ServedModels::ReplicaFor(const Served& served,
                                const std::vector<model::TokenId>& prompt) const {
  if (served_.size() < 2) return served;  // nothing to compare
  const Served* best = &served;
  int32_t most = 0;
  for (const Instance* instance : coordinator_.instances()) {
    const auto found = served_.find(instance->model().id);
    if (found == served_.end() || !instance->serving() || instance->scheduler().num_waiting() > 0 ||
        found->second.model->manifest.bytes != served.model->manifest.bytes)
      continue;
    const int32_t held = instance->scheduler().HeldPrefix(prompt);
    if (held < most || (held == most && found->first != served.instance)) continue;
    best = &found->second;
    most = held;
  }
  return *best;
}

// Before the first plan all that the model could have.
int64_t ServedModels::ContextLength(const Served& served) const {
  for (const Instance* instance : coordinator_.instances()) {
    if (instance->model().id == served.instance && instance->pipeline() != nullptr)
      return instance->pipeline()->plan.context_length;
  }
  return served.model->shape.context_length;
}

std::vector<ServedModels::Loaded> ServedModels::loaded() const {
  std::vector<Loaded> loaded;
  for (const Instance* instance : coordinator_.instances()) {
    const auto found = served_.find(instance->model().id);
    if (found == served_.end()) continue;
    Loaded entry{found->second.request, found->second.previous};
    if (const Pipeline* pipeline = instance->pipeline()) {
      entry.request.context_length = pipeline->plan.context_length;
      entry.placements = pipeline->plan.placements();
    }
    loaded.push_back(std::move(entry));
  }
  return loaded;
}

bool ServedModels::ready() const {
  return num_opening_ == 0 && !served_.empty() &&
         std::ranges::all_of(coordinator_.instances(),
                             [](const Instance* instance) { return instance->ready(); });
}

std::string ServedModels::WhatIsMissing() const {
  std::string why = num_opening_ > 0 || !served_.empty() ? "loading" : "no model is loaded";
  for (const auto& [id, served] : served_) {
    if (const absl::Status trouble = coordinator_.TroubleOf(id); !trouble.ok())
      why = std::string(trouble.message());
  }
  return why;
}

}  // namespace potluck::coordinator
