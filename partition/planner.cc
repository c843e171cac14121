#include "partition/planner.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "partition/amounts.h"
#include "partition/eligibility.h"
#include "partition/even_split.h"
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
// A next token that comes this much later is as soon, if the stages are more even for it.
constexpr double kAsSoon = 1.05;
// Who spreads a model wants its devices to work side by side, though their measured speeds differ.
constexpr double kAsSoonSpread = 1.25;
// Layers that can stay do, unless moving brings the next token this much sooner, or makes the
// slowest stage this much faster: momentary loads differ by as much.
constexpr double kWorthASoonerToken = 1.10;
constexpr double kWorthAFasterStage = 1.25;

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

// No price above that of a device alone, where that is a choice.
double HighestPrice(const CostModel& model, double least) {
  double highest = least * (model.wish().spread ? kAsSoonSpread : kAsSoon);
  for (int device = 0; device < model.num_devices() && !model.wish().spread; ++device)
    highest = std::min(highest, model.Price(std::vector<Slice>{{device, 0, model.num_layers()}}));
  return std::max(highest, least);
}

// Where it runs now; empty where that is not all of it, or a device may have no layers any more.
std::vector<Slice> PresentSlices(const CostModel& model) {
  std::vector<Slice> slices;
  int64_t next = 0;
  for (const Placement& placement : model.wish().previous) {
    int number = 0;
    while (number < model.num_devices() && model.device(number).id != placement.device_id) ++number;
    const bool used = std::ranges::find(slices, number, &Slice::device) != slices.end();
    if (number == model.num_devices() || used || placement.first != next) return {};
    slices.push_back({number, placement.first, placement.end});
    next = placement.end;
  }
  return next == model.num_layers() ? slices : std::vector<Slice>();
}

bool IsWorthMoving(const CostModel& model, const std::vector<Slice>& from,
                   const std::vector<Slice>& to) {
  const double price = model.Price(from);
  if (price == kNever || (model.wish().spread && to.size() > from.size())) return true;
  if (price > model.Price(to) * kWorthASoonerToken) return true;
  return model.wish().objective == Objective::kLatency &&
         SlowestSeconds(model, from) > SlowestSeconds(model, to) * kWorthAFasterStage;
}

absl::StatusOr<Choice> Choose(const CostModel& model) {
  Choice choice;
  if (!model.wish().layers.empty()) {
    POTLUCK_ASSIGN_OR_RETURN(ManualSplit split, MakeManualSplit(model));
    if (!split.slices.empty()) {
      choice.pipeline = {.slices = std::move(split.slices)};
      choice.as_wished = true;
      if (!model.wish().stays)
        choice.notes.push_back("the layers are where they were wished to be");
      return choice;
    }
    choice.notes.push_back(absl::StrCat("planned without the wish for layers: ", split.why_not));
  }
  choice.pipeline = FindPipeline(model, {.spread = model.wish().spread});
  std::vector<Slice>& slices = choice.pipeline.slices;
  if (slices.empty()) return choice;
  if (model.wish().objective == Objective::kLatency)
    slices = EvenOut(model, std::move(slices), HighestPrice(model, choice.pipeline.price));
  std::vector<Slice> present = PresentSlices(model);
  if (!IsWorthMoving(model, present, slices)) slices = std::move(present);
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
  if (!wish.layers.empty())
    POTLUCK_RETURN_IF_ERROR(OrderLayerWishes(wish.layers, wish.model.num_layers()).status());
  if (wish.previous.size() > kMostPlacements || wish.cached.size() > kMostPlacements ||
      wish.standing_by.size() > kMostPlacements) {
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
  for (const StandbyCopy& standby : wish.standing_by)
    POTLUCK_RETURN_IF_ERROR(CheckRange(standby.first, standby.end, wish));
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
