#include "partition/planner.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "partition/amounts.h"
#include "partition/eligibility.h"
#include "partition/manual_split.h"
#include "partition/pipeline_search.h"
#include "partition/plan_report.h"
#include "partition/shortage.h"

namespace potluck::partition {
namespace {

constexpr int64_t kMostContext = int64_t{1} << 30;
constexpr int64_t kMostParallel = 1024;
constexpr int64_t kMostStepTokens = 1 << 16;
constexpr int kMostCopies = 16;
constexpr size_t kMostPlacements = 4096;

absl::Status CheckNumber(int64_t value, int64_t least, int64_t most, absl::string_view what) {
  if (value >= least && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(what, " is ", value, ": from ", least, " to ", most, " is expected"));
}

absl::Status CheckRange(int64_t first, int64_t end, const InstanceWish& wish) {
  if (0 <= first && first < end && end <= wish.model.num_layers()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("instance ", Printable(wish.id), " names layers ",
                                                 first, " to before ", end, " of a model of ",
                                                 wish.model.num_layers()));
}

// The context that a wish without one gets.
absl::StatusOr<InstanceWish> WithContext(const ClusterProfile& cluster, const InstanceWish& wish,
                                         const Occupancy& others) {
  InstanceWish decided = wish;
  if (wish.context_length > 0) return decided;
  const int64_t own = wish.model.context_length;
  decided.context_length = own > 0 ? std::min(own, kDefaultContext) : kDefaultContext;
  if (Fits(cluster, decided, others)) return decided;
  const int64_t fits = LargestContext(cluster, decided, others, decided.context_length - 1);
  if (fits > 0) decided.context_length = fits;  // otherwise the shortage is explained
  return decided;
}

struct Choice {
  PipelineChoice pipeline;
  std::vector<std::string> notes;
  bool as_wished = false;
};

absl::StatusOr<Choice> Choose(const CostModel& model) {
  Choice choice;
  if (!model.wish().layers.empty()) {
    POTLUCK_ASSIGN_OR_RETURN(ManualSplit split, MakeManualSplit(model));
    if (!split.slices.empty()) {
      choice.pipeline = {.slices = std::move(split.slices)};
      choice.as_wished = true;
      choice.notes.push_back("the layers are where they were wished to be");
      return choice;
    }
    choice.notes.push_back(absl::StrCat("planned without the wish for layers: ", split.why_not));
  }
  choice.pipeline = FindPipeline(model, {.spread = model.wish().spread});
  return choice;
}

}  // namespace

absl::Status CheckWish(const InstanceWish& wish) {
  POTLUCK_RETURN_IF_ERROR(CheckModelShape(wish.model));
  POTLUCK_RETURN_IF_ERROR(CheckNumber(wish.context_length, 0, kMostContext, "the context"));
  POTLUCK_RETURN_IF_ERROR(
      CheckNumber(wish.parallel, 1, kMostParallel, "the number of parallel sequences"));
  POTLUCK_RETURN_IF_ERROR(
      CheckNumber(wish.max_step_tokens, 1, kMostStepTokens, "the largest step"));
  POTLUCK_RETURN_IF_ERROR(CheckNumber(wish.prompt_tokens, 0, kMostContext, "the prompt's length"));
  POTLUCK_RETURN_IF_ERROR(CheckNumber(wish.depth, 0, kMostContext, "the depth"));
  POTLUCK_RETURN_IF_ERROR(CheckNumber(wish.copies, 1, kMostCopies, "the number of copies"));
  if (wish.model.context_length > 0 && wish.context_length > wish.model.context_length) {
    return absl::InvalidArgumentError(
        absl::StrCat("the model was trained for a context of ", wish.model.context_length,
                     " tokens, ", wish.context_length, " are asked for: ask for less (--ctx)"));
  }
  using kernels::DType;
  if (wish.kv_dtype != DType::kF16 && wish.kv_dtype != DType::kF32 &&
      wish.kv_dtype != DType::kQ8_0) {
    return absl::InvalidArgumentError("keys and values are kept in f16, f32 or q8 (--kv-type)");
  }
  if (wish.kv_dtype == DType::kQ8_0 && wish.model.head_dim % 32 != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("a q8 KV cache needs heads of a multiple of 32, this model's have ",
                     wish.model.head_dim, ": use --kv-type f16"));
  }
  if (wish.previous.size() > kMostPlacements || wish.cached.size() > kMostPlacements) {
    return absl::InvalidArgumentError(absl::StrCat("instance ", Printable(wish.id),
                                                   " names more than ", kMostPlacements,
                                                   " places where its layers are"));
  }
  if (!wish.previous.empty() && wish.context_length == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("instance ", Printable(wish.id), " runs already, but names no context"));
  }
  for (const Placement& placement : wish.previous)
    POTLUCK_RETURN_IF_ERROR(CheckRange(placement.first, placement.end, wish));
  for (const CachedLayers& cached : wish.cached)
    POTLUCK_RETURN_IF_ERROR(CheckRange(cached.first, cached.end, wish));
  return absl::OkStatus();
}

absl::StatusOr<InstancePlan> PlanInstance(const ClusterProfile& cluster, const InstanceWish& asked,
                                          const Occupancy& others) {
  POTLUCK_RETURN_IF_ERROR(Validate(cluster));
  POTLUCK_RETURN_IF_ERROR(CheckWish(asked));
  POTLUCK_ASSIGN_OR_RETURN(const InstanceWish wish, WithContext(cluster, asked, others));
  const Eligibility eligible = EligibleDevices(cluster, wish, others);
  const CostModel model(cluster, wish, others, eligible.devices);
  POTLUCK_ASSIGN_OR_RETURN(const Choice choice, Choose(model));
  if (choice.pipeline.slices.empty()) return ExplainShortage(cluster, wish, others, eligible);
  return ReportPlan({.cluster = cluster,
                     .others = others,
                     .model = model,
                     .eligible = eligible,
                     .pipeline = choice.pipeline,
                     .as_wished = choice.as_wished,
                     .notes = choice.notes});
}

std::vector<absl::StatusOr<InstancePlan>> PlanInstances(const ClusterProfile& cluster,
                                                        const std::vector<InstanceWish>& wishes) {
  std::vector<absl::StatusOr<InstancePlan>> plans;
  std::vector<Occupancy> taken(wishes.size());  // by each, where it stands or will stand
  for (size_t i = 0; i < wishes.size(); ++i) {
    if (CheckWish(wishes[i]).ok()) Occupy(wishes[i], wishes[i].previous, taken[i]);
  }
  for (size_t i = 0; i < wishes.size(); ++i) {
    Occupancy others;
    for (size_t other = 0; other < wishes.size(); ++other) {
      if (other != i) others.Add(taken[other]);
    }
    plans.push_back(PlanInstance(cluster, wishes[i], others));
    if (!plans[i].ok()) continue;  // one that runs keeps its place
    InstanceWish decided = wishes[i];
    decided.context_length = plans[i]->context_length;
    taken[i] = {};
    Occupy(decided, plans[i]->placements(), taken[i]);
  }
  return plans;
}

void Occupancy::Add(const Occupancy& other) {
  for (const auto& [device_id, use] : other.by_device) {
    Use& sum = by_device[device_id];
    sum.bytes += use.bytes;
    sum.instances += use.instances;
  }
}

void Occupy(const InstanceWish& wish, const std::vector<Placement>& placements,
            Occupancy& occupancy) {
  const StageMemory memory(wish);
  for (const Placement& placement : placements) {
    Occupancy::Use& use = occupancy.by_device[placement.device_id];
    use.bytes += memory.TotalOf(placement.first, placement.end);
    use.instances += 1;
  }
}

std::vector<Placement> InstancePlan::placements() const {
  std::vector<Placement> placements;
  for (const StagePlan& stage : stages)
    placements.push_back({stage.device_id, stage.first_layer, stage.last_layer + 1});
  return placements;
}

}  // namespace potluck::partition
