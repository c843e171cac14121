#include "coordinator/api/plan_json.h"

#include <utility>

namespace potluck::coordinator {
namespace {

using nlohmann::ordered_json;

ordered_json StageJson(const partition::StagePlan& stage) {
  ordered_json standby = ordered_json::array();
  for (const partition::Standby& choice : stage.standby) {
    standby.push_back({{"worker", choice.worker_id},
                       {"device", choice.device_id},
                       {"name", choice.name},
                       {"fits_in_memory", choice.fits_in_memory},
                       {"on_disk", choice.on_disk}});
  }
  return {{"worker", stage.worker_id},
          {"device", stage.device_id},
          {"name", stage.name},
          {"layers", {stage.first_layer, stage.last_layer}},
          {"embedding", stage.has_embedding},
          {"head", stage.has_head},
          {"weight_bytes", stage.weight_bytes},
          {"kv_bytes", stage.kv_bytes},
          {"activation_bytes", stage.activation_bytes},
          {"replay_bytes", stage.replay_bytes},
          {"allowed_bytes", stage.allowed_bytes},
          {"decode_seconds", stage.decode_seconds},
          {"prefill_seconds", stage.prefill_seconds},
          {"standby", std::move(standby)}};
}

}  // namespace

ordered_json LeftOutJson(const partition::InstancePlan& plan) {
  ordered_json all = ordered_json::array();
  for (const partition::LeftOut& left_out : plan.left_out)
    all.push_back({{"worker", left_out.worker_id},
                   {"device", left_out.device_id},
                   {"name", left_out.name},
                   {"reason", left_out.reason}});
  return all;
}

ordered_json LossesJson(const partition::InstancePlan& plan) {
  ordered_json losses = ordered_json::array();
  for (const partition::WorkerLoss& loss : plan.losses)
    losses.push_back({{"worker", loss.worker_id},
                      {"name", loss.name},
                      {"survived", loss.survived},
                      {"how", loss.how}});
  return losses;
}

ordered_json PlanJson(const partition::InstancePlan& plan) {
  const partition::Prediction& prediction = plan.prediction;
  ordered_json result = {{"model", plan.model},
                         {"context_length", plan.context_length},
                         {"parallel", plan.parallel},
                         {"exact", plan.exact},
                         {"prediction",
                          {{"decode_tokens_per_second", prediction.decode_tokens_per_second},
                           {"together_tokens_per_second", prediction.together_tokens_per_second},
                           {"steps_in_flight", prediction.steps_in_flight},
                           {"prefill_tokens_per_second", prediction.prefill_tokens_per_second},
                           {"depth", prediction.depth},
                           {"prompt_tokens", prediction.prompt_tokens},
                           {"chunk_tokens", prediction.chunk_tokens}}},
                         {"stages", ordered_json::array()},
                         {"hops", ordered_json::array()},
                         {"left_out", LeftOutJson(plan)},
                         {"losses", LossesJson(plan)},
                         {"notes", plan.notes}};
  for (const partition::StagePlan& stage : plan.stages)
    result["stages"].push_back(StageJson(stage));
  for (const partition::HopPlan& hop : plan.hops) {
    result["hops"].push_back({{"from", hop.from},
                              {"to", hop.to},
                              {"relayed", hop.relayed},
                              {"decode_seconds", hop.decode_seconds},
                              {"prefill_seconds", hop.prefill_seconds}});
  }
  return result;
}

}  // namespace potluck::coordinator
