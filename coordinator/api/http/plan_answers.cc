#include "coordinator/api/http/plan_answers.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "coordinator/api/cluster_json.h"
#include "coordinator/api/http/replies.h"
#include "coordinator/api/plan_json.h"
#include "model/model_file.h"

namespace potluck::coordinator {
namespace {

using nlohmann::ordered_json;

constexpr int64_t kMostTokens = int64_t{1} << 30;

// Source: RFC 3986, 2.1, and '+' for a space as forms have it.
std::optional<std::string> Unescaped(absl::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      plain += text[i] == '+' ? ' ' : text[i];
      continue;
    }
    if (i + 2 >= text.size() || !absl::ascii_isxdigit(static_cast<unsigned char>(text[i + 1])) ||
        !absl::ascii_isxdigit(static_cast<unsigned char>(text[i + 2])))
      return std::nullopt;
    plain += absl::HexStringToBytes(text.substr(i + 1, 2));
    i += 2;
  }
  return plain;
}

// Who opens the connection of each hop; null where there is none, since the coordinator relays.
void AddDialling(const Coordinator& coordinator, const Pipeline& pipeline, ordered_json& plan) {
  const int32_t num_stages = pipeline.num_stages();
  const auto name = [&](int32_t stage) {
    return coordinator.membership().PeerOf(pipeline.worker(stage)).name;
  };
  for (int32_t i = 0; i <= num_stages; ++i) {
    ordered_json& dialled_by = plan["hops"][i]["dialled_by"];
    if (i == 0 || i == num_stages) {
      dialled_by = name(i == 0 ? 0 : num_stages - 1);
      continue;
    }
    switch (coordinator.membership().HopBetween(pipeline.worker(i - 1), pipeline.worker(i))) {
      case wire::HopKind::kUpstreamDials:
        dialled_by = name(i - 1);
        break;
      case wire::HopKind::kDownstreamDials:
        dialled_by = name(i);
        break;
      case wire::HopKind::kRelayed:
        dialled_by = nullptr;
        break;
    }
  }
}

// What is known of an instance without the planner, and what that is asked.
struct InstancePlans {
  ordered_json json;
  std::vector<partition::Placement> placements;  // that run
  PlanQuestion question;
};

InstancePlans PlansOf(const Coordinator& coordinator, const Instance& instance,
                      PlanQuestion question) {
  const InstanceScheduler& scheduler = instance.scheduler();
  InstancePlans plans;
  plans.json = {
      {"id", instance.model().id},
      {"model", instance.model().name},
      {"state", StateOf(instance)},
      {"epoch", 0},
      {"vocab_size", instance.model().scheduled.vocab_size},
      {"requests", {{"running", scheduler.num_active()}, {"waiting", scheduler.num_waiting()}}},
      {"running", nullptr}};
  if (const absl::Status trouble = coordinator.TroubleOf(instance.model().id); !trouble.ok())
    plans.json["trouble"] = std::string(trouble.message());
  if (const Pipeline* pipeline = instance.pipeline(); pipeline != nullptr && instance.serving()) {
    plans.json["epoch"] = pipeline->epoch.number;
    plans.json["running"] = PlanJson(pipeline->plan);
    AddDialling(coordinator, *pipeline, plans.json["running"]);
    plans.placements = pipeline->plan.placements();
  }
  plans.question = std::move(question);
  return plans;
}

ordered_json Think(InstancePlans plans, const PlansAsked& asked) {
  const absl::StatusOr<partition::InstancePlan> now = MakePlan(plans.question);
  plans.json["now"] = now.ok() ? PlanJson(*now) : ordered_json();
  if (!now.ok()) plans.json["why_not"] = std::string(now.status().message());
  plans.json["moves"] = now.ok() && now->placements() != plans.placements;
  if (asked.prompt_tokens == 0 && asked.depth == 0) return std::move(plans.json);
  plans.question.wish.prompt_tokens = asked.prompt_tokens;
  plans.question.wish.depth = asked.depth;
  plans.question.wish.previous = plans.placements;
  const absl::StatusOr<partition::InstancePlan> here = PlanAt(plans.question, plans.placements);
  plans.json["expected"] = here.ok() ? PlanJson(*here)["prediction"] : ordered_json();
  return std::move(plans.json);
}

}  // namespace

absl::StatusOr<PlansAsked> ParsePlansAsked(std::string_view query) {
  PlansAsked asked;
  for (const absl::string_view part : absl::StrSplit(ToAbsl(query), '&', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(part, absl::MaxSplits('=', 1));
    const std::optional<std::string> value = Unescaped(pair.second);
    if (!value.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat(Printable(ToStd(pair.first)), ": a % must be followed by two hex digits"));
    }
    if (pair.first == "model") asked.model = *value;
    for (const auto& [key, number] :
         {std::pair("prompt_tokens", &asked.prompt_tokens), std::pair("depth", &asked.depth)}) {
      if (pair.first != key) continue;
      if (!absl::SimpleAtoi(*value, number) || *number < 1 || *number > kMostTokens) {
        return absl::InvalidArgumentError(
            absl::StrCat(key, " must be a whole number from 1 to ", kMostTokens));
      }
    }
  }
  return asked;
}

Executor::Task AnswerPlans(const Coordinator& coordinator,
                           const std::vector<model::InstanceId>& instances, const PlansAsked& asked,
                           std::shared_ptr<HttpExchange> exchange) {
  std::vector<InstancePlans> plans;
  for (const Instance* instance : coordinator.instances()) {
    if (std::ranges::find(instances, instance->model().id) == instances.end()) continue;
    absl::StatusOr<PlanQuestion> question = coordinator.QuestionOf(instance->model().id);
    if (question.ok()) plans.push_back(PlansOf(coordinator, *instance, *std::move(question)));
  }
  return [plans = std::move(plans), asked, exchange = std::move(exchange)]() mutable {
    ordered_json answers = ordered_json::array();
    for (InstancePlans& of_one : plans) answers.push_back(Think(std::move(of_one), asked));
    RespondJson(*exchange, {{"instances", std::move(answers)}});
  };
}

Executor::Task AnswerForesight(const Coordinator& coordinator, partition::InstanceWish wish,
                               const std::string& path, std::shared_ptr<HttpExchange> exchange) {
  return [question = coordinator.QuestionFor(std::move(wish)), path,
          exchange = std::move(exchange)]() mutable {
    const auto plan = [&]() -> absl::StatusOr<partition::InstancePlan> {
      POTLUCK_ASSIGN_OR_RETURN(const model::ModelFile file, model::OpenModelFile(path));
      POTLUCK_RETURN_IF_ERROR(file.config.status());
      POTLUCK_ASSIGN_OR_RETURN(question.wish.model,
                               partition::MakeModelShape(file.name, *file.config, *file.weights));
      return MakePlan(question);
    }();
    plan.ok() ? RespondJson(*exchange, PlanJson(*plan)) : RespondError(*exchange, plan.status());
  };
}

}  // namespace potluck::coordinator
