#include "cli/plan_check.h"

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/cluster_client.h"
#include "cli/json_fields.h"
#include "cli/terminal.h"
#include "common/status_macros.h"
#include "partition/amounts.h"

namespace potluck::cli {
namespace {

using nlohmann::ordered_json;

constexpr int64_t kPromptTokens = 256, kGeneratedTokens = 64;
// The median of so many; one before them warms up.
constexpr int kRuns = 3;

// Requests of one model, each with a prompt that nobody has ever computed.
class Requests {
 public:
  Requests(const HttpClient& client, const ordered_json& instance, int64_t prompt_tokens)
      : client_(client),
        model_(Text(instance, "model")),
        vocab_size_(std::max<int64_t>(1, Amount(instance, "vocab_size"))),
        prompt_tokens_(prompt_tokens),
        random_(std::random_device()()) {}

  // Seconds until `count` tokens have come: greedy, and no end token ends it.
  absl::StatusOr<double> Time(int64_t count) {
    std::uniform_int_distribution<int64_t> token(0, vocab_size_ - 1);
    std::vector<int64_t> prompt(static_cast<size_t>(prompt_tokens_));
    std::ranges::generate(prompt, [&] { return token(random_); });
    const ordered_json body = {{"model", model_},
                               {"prompt", prompt},
                               {"max_tokens", count},
                               {"temperature", 0.0},
                               {"ignore_eos", true}};
    const absl::Duration start = SteadyClock().SinceStart();
    POTLUCK_ASSIGN_OR_RETURN(const HttpReply reply, client_.Post("/v1/completions", body.dump()));
    const absl::Duration took = SteadyClock().SinceStart() - start;
    POTLUCK_ASSIGN_OR_RETURN(const ordered_json answer, JsonOf(reply));
    const int64_t got = Amount(Part(answer, "usage"), "completion_tokens");
    if (got != count) {
      return absl::InternalError(absl::StrCat("the cluster generated ", got, " tokens where ",
                                              count, " were asked for: nothing can be measured"));
    }
    return absl::ToDoubleSeconds(took);
  }

 private:
  const HttpClient& client_;
  const std::string model_;
  const int64_t vocab_size_, prompt_tokens_;
  std::mt19937_64 random_;
};

double Median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + std::ssize(values) / 2);
  return values[values.size() / 2];
}

ordered_json Beside(double predicted, double measured) {
  return {{"predicted", predicted},
          {"measured", measured},
          {"ratio", predicted > 0 ? ordered_json(measured / predicted) : ordered_json()}};
}

absl::StatusOr<ordered_json> Expected(const HttpClient& client, const ordered_json& instance,
                                      int64_t prompt_tokens, int64_t depth) {
  POTLUCK_ASSIGN_OR_RETURN(
      const HttpReply reply,
      client.Get(absl::StrCat("/cluster/plan?prompt_tokens=", prompt_tokens, "&depth=", depth)));
  POTLUCK_ASSIGN_OR_RETURN(const ordered_json plans, JsonOf(reply));
  for (const ordered_json& entry : List(plans, "instances")) {
    if (Amount(entry, "id") == Amount(instance, "id") && !Part(entry, "expected").empty())
      return Part(entry, "expected");
  }
  return absl::UnavailableError(absl::StrCat(
      Text(instance, "model"),
      " has just changed its plan: ", "try again when `potluck status` shows it ready"));
}

}  // namespace

absl::StatusOr<ordered_json> CheckSpeed(const HttpClient& client, const ordered_json& instance) {
  const int64_t context = Amount(Part(instance, "running"), "context_length");
  const int64_t prompt_tokens = std::min(kPromptTokens, std::max<int64_t>(1, context / 2));
  const int64_t generated = std::min(kGeneratedTokens, context - prompt_tokens - 1);
  if (generated < 1)
    return absl::FailedPreconditionError("the context is too short to measure anything in it");
  POTLUCK_ASSIGN_OR_RETURN(const ordered_json expected, Expected(client, instance, prompt_tokens,
                                                                 prompt_tokens + generated / 2));
  Requests requests(client, instance, prompt_tokens);
  POTLUCK_RETURN_IF_ERROR(requests.Time(1 + generated).status());
  std::vector<double> first, all;
  for (int run = 0; run < kRuns; ++run) {
    POTLUCK_ASSIGN_OR_RETURN(first.emplace_back(), requests.Time(1));
    POTLUCK_ASSIGN_OR_RETURN(all.emplace_back(), requests.Time(1 + generated));
  }
  const double prefill = Median(first), decode = Median(all) - prefill;
  if (decode <= 0) {
    return absl::UnavailableError(
        "the cluster was too busy with other things to measure: try again when it is idle");
  }
  return ordered_json{
      {"prompt_tokens", prompt_tokens},
      {"generated_tokens", generated},
      {"runs", kRuns},
      {"prefill_tokens_per_second", Beside(Number(expected, "prefill_tokens_per_second"),
                                           static_cast<double>(prompt_tokens) / prefill)},
      {"decode_tokens_per_second", Beside(Number(expected, "decode_tokens_per_second"),
                                          static_cast<double>(generated) / decode)}};
}

void PrintCheck(const ordered_json& check) {
  absl::PrintF("\nmeasured: a prompt of %d tokens, then %d more; the median of %d\n",
               Amount(check, "prompt_tokens"), Amount(check, "generated_tokens"),
               Amount(check, "runs"));
  absl::PrintF("  %-10s %12s %12s %22s\n", "tokens/s", "predicted", "measured",
               "measured / predicted");
  for (const auto& [name, key] : {std::pair("prefill", "prefill_tokens_per_second"),
                                  std::pair("decode", "decode_tokens_per_second")}) {
    const ordered_json& speed = Part(check, key);
    absl::PrintF("  %-10s %12s %12s %22.2f\n", name, partition::Digits(Number(speed, "predicted")),
                 partition::Digits(Number(speed, "measured")), Number(speed, "ratio"));
  }
}

}  // namespace potluck::cli
