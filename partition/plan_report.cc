#include "partition/plan_report.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "partition/amounts.h"
#include "partition/shortage.h"
#include "partition/standby.h"

namespace potluck::partition {
namespace {

// Speeds that differ by less are told as equal.
constexpr double kNoticeable = 0.001;

std::string LabelOf(const DeviceProfile& device) {
  return device.name.empty() ? device.worker_id : device.name;
}

std::vector<StagePlan> StagesOf(const CostModel& model, std::span<const Slice> slices) {
  const std::vector<int> sharers = model.SharersOf(slices);
  std::vector<StagePlan> stages;
  for (size_t i = 0; i < slices.size(); ++i) {
    const Slice& slice = slices[i];
    const DeviceProfile& device = model.device(slice.device);
    const StageBytes bytes = model.memory().Of(slice.first, slice.end);
    const auto seconds = [&](const StepWork& work) {
      return model.CostsOf(slice.device, work, 1, false).Of(slice.first, slice.end);
    };
    stages.push_back({.device_id = device.id,
                      .worker_id = device.worker_id,
                      .name = LabelOf(device),
                      .first_layer = slice.first,
                      .last_layer = slice.end - 1,
                      .has_embedding = slice.first == 0,
                      .has_head = slice.end == model.num_layers(),
                      .weight_bytes = bytes.weights,
                      .kv_bytes = bytes.kv,
                      .activation_bytes = bytes.activations,
                      .replay_bytes = bytes.replay,
                      .allowed_bytes = model.Capacity(slice.device, sharers[i]),
                      .decode_seconds = seconds(model.Decode(1)),
                      .prefill_seconds = seconds(model.PromptChunk()),
                      .standby = {}});
  }
  return stages;
}

std::vector<HopPlan> HopsOf(const CostModel& model, std::span<const Slice> slices,
                            const std::string& coordinator) {
  const StepWork decode = model.Decode(1), prefill = model.PromptChunk();
  const auto label = [&](const Slice& slice) { return LabelOf(model.device(slice.device)); };
  std::vector<HopPlan> hops;
  const auto add = [&](const std::string& from, const std::string& to, const Path& path,
                       double decode_bytes, double prefill_bytes) {
    hops.push_back(
        {from, to, path.relayed, path.seconds(decode_bytes), path.seconds(prefill_bytes)});
  };
  add(coordinator, label(slices.front()), model.Enter(slices.front().device), model.IdBytes(decode),
      model.IdBytes(prefill));
  for (size_t i = 1; i < slices.size(); ++i) {
    add(label(slices[i - 1]), label(slices[i]), model.Hop(slices[i - 1].device, slices[i].device),
        model.HopBytes(decode), model.HopBytes(prefill));
  }
  add(label(slices.back()), coordinator, model.Leave(slices.back().device), model.IdBytes(decode),
      model.IdBytes(prefill));
  return hops;
}

double SpeedOf(const CostModel& model, std::span<const Slice> slices) {
  const Prediction prediction = model.Predict(slices);
  return model.wish().objective == Objective::kLatency ? prediction.decode_tokens_per_second
                                                       : prediction.together_tokens_per_second;
}

// Where the time of a device's part goes: "(layers 4-9 there take 41 ms per token, the way to and
// from it 3.2 ms)".
std::string TimeWith(const CostModel& model, std::span<const Slice> slices, int number) {
  const std::vector<StagePlan> stages = StagesOf(model, slices);
  const std::vector<HopPlan> hops = HopsOf(model, slices, "");
  for (size_t i = 0; i < slices.size(); ++i) {
    if (slices[i].device != number) continue;
    const double ways = hops[i].decode_seconds + hops[i + 1].decode_seconds;
    return absl::StrCat(Layers(stages[i].first_layer, stages[i].last_layer), " there would take ",
                        Seconds(stages[i].decode_seconds), " per token, the ways to and from it ",
                        Seconds(ways));
  }
  return "";
}

std::string ReasonAgainst(const PlanFacts& facts, int number, double speed) {
  const CostModel& model = facts.model;
  if (facts.as_wished) {
    return model.wish().stays ? "the layers stay where they are for now"
                              : "the wish for layers does not name it";
  }
  const std::vector<Slice>& with = facts.pipeline.with_device[number];
  if (with.empty()) return "no split with it fits: see its memory, its host's and its links";
  const double other = SpeedOf(model, with);
  const std::string speeds =
      absl::StrCat(Digits(other), " instead of ", Digits(speed), " tokens/s");
  if (other < speed * (1 - kNoticeable)) {
    return absl::StrCat("with it the model would be slower: ", speeds, " (",
                        TimeWith(model, with, number), ")");
  }
  if (other > speed * (1 + kNoticeable) && !model.wish().previous.empty()) {
    return absl::StrCat("it would bring ", speeds, ", which is not worth moving ",
                        Bytes(static_cast<int64_t>(model.MovedBytes(with))), " in ",
                        Seconds(model.MovingSeconds(with)));
  }
  return absl::StrCat("it would gain nothing: the others are as fast without it (",
                      TimeWith(model, with, number), ")");
}

std::vector<LeftOut> LeftOutOf(const PlanFacts& facts) {
  std::vector<LeftOut> left_out = facts.eligible.left_out;
  std::set<int> used;
  for (const Slice& slice : facts.pipeline.slices) used.insert(slice.device);
  const double speed = SpeedOf(facts.model, facts.pipeline.slices);
  for (int number = 0; number < facts.model.num_devices(); ++number) {
    if (used.contains(number)) continue;
    const DeviceProfile& device = facts.model.device(number);
    left_out.push_back(
        {device.id, device.worker_id, device.name, ReasonAgainst(facts, number, speed)});
  }
  std::ranges::sort(left_out, {}, &LeftOut::device_id);
  return left_out;
}

std::string HowSurvived(const std::vector<const StagePlan*>& lost) {
  std::vector<std::string> names;
  bool in_memory = true, on_disk = true;
  for (const StagePlan* stage : lost) {
    if (stage->standby.empty())
      return "its layers are sent again, from the model's file, to where they fit";
    names.push_back(stage->standby.front().name);
    in_memory = in_memory && stage->standby.front().fits_in_memory;
    on_disk = on_disk && stage->standby.front().on_disk;
  }
  const bool one = names.size() == 1;
  const char* how = one ? " has its layers on disk" : " have its layers on disk";
  if (!on_disk) how = one ? " is to have its layers on disk" : " are to have its layers on disk";
  return absl::StrCat(absl::StrJoin(names, " and "), how,
                      in_memory ? (one ? ", and has memory for them" : ", and have memory for them")
                                : ", and they fit if divided anew");
}

std::vector<WorkerLoss> LossesOf(const PlanFacts& facts, const std::vector<StagePlan>& stages) {
  std::map<std::string, std::vector<const StagePlan*>> stages_of;
  for (const StagePlan& stage : stages) stages_of[stage.worker_id].push_back(&stage);
  InstanceWish wish = facts.model.wish();
  wish.spread = false;
  std::vector<WorkerLoss> losses;
  for (const auto& [worker_id, lost] : stages_of) {
    WorkerLoss loss{.worker_id = worker_id, .name = lost.front()->name};
    const bool is_coordinator = worker_id == facts.cluster.coordinator_worker_id;
    loss.survived = !is_coordinator && Fits(facts.cluster, wish, facts.others, worker_id);
    if (is_coordinator) {
      loss.how = "it is the coordinator, too";
    } else if (loss.survived) {
      loss.how = HowSurvived(lost);
    } else {
      const int64_t missing = MissingBytes(facts.cluster, wish, facts.others, worker_id);
      loss.how = missing > 0 ? absl::StrCat("the rest lacks ", Bytes(missing), " to hold the model")
                             : "no split over the rest fits";
    }
    losses.push_back(std::move(loss));
  }
  return losses;
}

void AddNotes(const PlanFacts& facts, InstancePlan& plan) {
  const CostModel& model = facts.model;
  std::map<std::string, std::set<std::string>> classes;
  for (const Slice& slice : facts.pipeline.slices) {
    const DeviceProfile& device = model.device(slice.device);
    classes[device.numerics_class].insert(LabelOf(device));
    const auto use = facts.others.by_device.find(device.id);
    if (use == facts.others.by_device.end() || use->second.instances == 0) continue;
    plan.notes.push_back(absl::StrCat(LabelOf(device), " serves ", use->second.instances,
                                      use->second.instances == 1 ? " other model" : " other models",
                                      ", too: speeds are told as if all were busy"));
  }
  if (classes.size() > 1) {
    std::vector<std::string> parts;
    for (const auto& [name, devices] : classes)
      parts.push_back(absl::StrCat(name, " (", absl::StrJoin(devices, ", "), ")"));
    plan.notes.push_back(absl::StrCat("the numerics differ, ", absl::StrJoin(parts, " and "),
                                      ": a text may change when layers move between them"));
  }
  for (const HopPlan& hop : plan.hops) {
    if (!hop.relayed) continue;
    plan.notes.push_back(absl::StrCat("from ", hop.from, " to ", hop.to,
                                      " the way leads through the coordinator, since neither "
                                      "reaches the other: both hops are counted"));
  }
  if (!plan.exact)
    plan.notes.push_back("more than ten devices: a good split, not certainly the best");
  if (model.wish().previous.empty() || plan.placements() == model.wish().previous) return;
  plan.notes.push_back(absl::StrCat("loading ", Bytes(plan.moved_bytes), " of layers takes about ",
                                    Seconds(plan.moving_seconds)));
}

}  // namespace

InstancePlan ReportPlan(const PlanFacts& facts) {
  const CostModel& model = facts.model;
  const std::vector<Slice>& slices = facts.pipeline.slices;
  InstancePlan plan{.id = model.wish().id,
                    .model = model.wish().model.name,
                    .context_length = model.wish().context_length,
                    .parallel = model.wish().parallel,
                    .stages = StagesOf(model, slices),
                    .hops = HopsOf(model, slices, facts.cluster.coordinator_id),
                    .prediction = model.Predict(slices),
                    .left_out = LeftOutOf(facts),
                    .losses = {},
                    .notes = facts.notes,
                    .moved_bytes = static_cast<int64_t>(model.MovedBytes(slices)),
                    .moving_seconds = model.MovingSeconds(slices),
                    .exact = facts.pipeline.exact};
  ChooseStandbys(model, slices, plan.stages, plan.notes);
  plan.losses = LossesOf(facts, plan.stages);
  AddNotes(facts, plan);
  return plan;
}

}  // namespace potluck::partition
