// potluck run: an answer, or a conversation, on this machine.
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/command.h"
#include "cli/process.h"
#include "cli/run_options.h"
#include "cli/terminal.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "coordinator/api/http/completion_json.h"
#include "model/generation/generator.h"
#include "model/generation/reasoning_text.h"
#include "model/grammar/grammar.h"
#include "model/grammar/json_grammar.h"

namespace potluck::cli {
namespace {

using nlohmann::ordered_json;

model::SamplingParams SamplingOf(const RunOptions& options, const model::SamplingParams& params) {
  std::random_device random;
  return options.sampling.Over(params, uint64_t{random()} << 32 | random());
}

std::string Tokens(int64_t count) { return absl::StrCat(count, count == 1 ? " token" : " tokens"); }

void PrintSummary(const model::Generation& generation) {
  const model::GenerationTimings& timings = generation.timings;
  // A single token has no speed: it came with the prompt.
  const std::string speed =
      timings.generated_tokens > 1
          ? absl::StrFormat(", %.1f tokens/s", timings.generated_tokens_per_second())
          : "";
  absl::FPrintF(stderr, "prompt %s (%d cached), %.1f tokens/s; generated %s%s; memory %d MiB; %s\n",
                Tokens(timings.prompt_tokens), timings.cached_tokens,
                timings.prompt_tokens_per_second(), Tokens(timings.generated_tokens), speed,
                PeakMemoryBytes() >> 20, ToAbsl(ToString(generation.finish_reason)));
}

ordered_json LogprobsAsJson(const model::Generation& generation,
                            const model::Tokenizer& tokenizer) {
  const auto entry = [&](const model::TokenLogprob& token) {
    return coordinator::LogprobJson(token, tokenizer);
  };
  ordered_json all = ordered_json::array();
  for (const auto& logprobs : generation.logprobs) {
    ordered_json chosen = entry(logprobs.front());
    chosen["top"] = ordered_json::array();
    for (size_t i = 1; i < logprobs.size(); ++i) chosen["top"].push_back(entry(logprobs[i]));
    all.push_back(std::move(chosen));
  }
  return all;
}

void PrintJson(const model::Generation& generation, const model::GenerationRequest& request,
               model::LocalModel& loaded) {
  const model::GenerationTimings& timings = generation.timings;
  const kernels::DeviceInfo device = loaded.backend().info();
  const ordered_json result = {
      {"text", generation.text},
      {"ids", generation.ids},
      {"prompt_ids", request.prompt},
      {"logprobs",
       request.top_logprobs >= 0 ? LogprobsAsJson(generation, loaded.tokenizer()) : ordered_json()},
      {"timings",
       {{"prompt_tokens", timings.prompt_tokens},
        {"cached_tokens", timings.cached_tokens},
        {"prompt_ms", absl::ToDoubleMilliseconds(timings.prompt_time)},
        {"prompt_tokens_per_second", timings.prompt_tokens_per_second()},
        {"generated_tokens", timings.generated_tokens},
        {"generation_ms", absl::ToDoubleMilliseconds(timings.generation_time)},
        {"generated_tokens_per_second", timings.generated_tokens_per_second()},
        {"peak_memory_bytes", PeakMemoryBytes()}}},
      {"finish_reason", ToString(generation.finish_reason)},
      {"seed", request.sampling.seed},
      {"device",
       {{"name", device.name},
        {"hardware", device.hardware},
        {"target", device.target},
        {"numerics_class", device.numerics_class}}}};
  std::cout << result.dump(-1, ' ', false, ordered_json::error_handler_t::replace) << "\n";
}

// One loaded model and what the person asked for.
class Runner {
 public:
  // Without a template of the model's own, instructions and conversations can only be given through
  // ChatML; a prompt alone is continued.
  Runner(const RunOptions& options, bool converse, model::LocalModel& loaded)
      : options_(options),
        loaded_(loaded),
        generator_(loaded.stage(), loaded.tokenizer(), SteadyClock()),
        chats_(!options.raw &&
               (loaded.text().has_chat_template() || !options.system.empty() || converse)) {
    request_.sampling = SamplingOf(options, loaded.text().default_sampling());
    request_.max_tokens = options.max_tokens;
    request_.stop = options.stop;
    request_.end_tokens = loaded.text().end_tokens();
    request_.top_logprobs = options.top_logprobs;
  }

  absl::Status AnswerOnce(const std::string& prompt) {
    POTLUCK_ASSIGN_OR_RETURN(request_.prompt, Encode(prompt));
    POTLUCK_RETURN_IF_ERROR(generator_.Check(request_));
    PrintNotes();
    return Generate().status();
  }

  absl::Status Converse() {
    PrintNotes();
    absl::FPrintF(
        stderr,
        "Write, and end with Enter. /clear forgets the conversation; /exit or Ctrl-D ends it.\n");
    StartConversation();
    while (const auto line = ReadLine()) {
      if (*line == "/exit") break;
      if (*line == "/clear") StartConversation();
      if (line->empty() || *line == "/clear") continue;
      if (const absl::Status utf8 = CheckUtf8(*line, "the line"); !utf8.ok()) {
        absl::FPrintF(stderr, "%s\n", utf8.message());
        continue;
      }
      messages_.push_back({{"role", "user"}, {"content", *line}});
      POTLUCK_ASSIGN_OR_RETURN(request_.prompt, EncodeConversation());
      const auto answer = Generate();
      if (!answer.ok()) {
        absl::FPrintF(stderr, "%s\n", answer.status().message());
        if (messages_.size() > 1) {
          absl::FPrintF(stderr, "/clear forgets the conversation, which makes room.\n");
        }
        messages_.erase(messages_.size() - 1);
        continue;
      }
      messages_.push_back({{"role", "assistant"}, {"content", answer->text}});
      SayWhereContextIsFull(*answer);
      ClearInterrupt();
    }
    return absl::OkStatus();
  }

 private:
  // What the model cannot tell by itself, before it answers.
  void PrintNotes() const {
    for (const std::string& warning : loaded_.text().warnings()) {
      absl::FPrintF(stderr, "warning: %s\n", warning);
    }
    if (!loaded_.text().has_chat_template() && !options_.raw) {
      absl::FPrintF(stderr, "warning: the model has no chat template: %s\n",
                    chats_ ? "ChatML is used, which it may not understand"
                           : "the prompt is continued as plain text");
    }
    absl::FPrintF(stderr, "context: %s\n", loaded_.context_reason());
  }

  absl::StatusOr<std::vector<model::TokenId>> Encode(const std::string& prompt) {
    if (!chats_) return loaded_.text().EncodeText(prompt);
    StartConversation();
    messages_.push_back({{"role", "user"}, {"content", prompt}});
    return EncodeConversation();
  }

  absl::StatusOr<std::vector<model::TokenId>> EncodeConversation() {
    auto prompt = loaded_.text().EncodeChat({.messages = messages_, .now = LocalTime()});
    if (prompt.ok()) {
      request_.sampling.grammar_after = prompt->opens_reasoning ? model::kThinkClose : "";
      return std::move(prompt->ids);
    }
    if (options_.system.empty()) return prompt.status();
    // Some templates (gemma's) refuse the system role and nothing else.
    ordered_json without_system = messages_;
    without_system.erase(0);
    if (!loaded_.text().EncodeChat({.messages = without_system, .now = LocalTime()}).ok())
      return prompt.status();
    return absl::InvalidArgumentError(
        absl::StrCat("this model takes no --system text: put it into the prompt (",
                     prompt.status().message(), ")"));
  }

  void StartConversation() {
    messages_ = ordered_json::array();
    if (!options_.system.empty())
      messages_.push_back({{"role", "system"}, {"content", options_.system}});
  }

  std::optional<std::string> ReadLine() {
    absl::FPrintF(stderr, "> ");
    std::optional<std::string> line = input_.Next();
    if (!line.has_value()) absl::FPrintF(stderr, "\n");
    return line;
  }

  void SayWhereContextIsFull(const model::Generation& answer) const {
    const bool was_limited = static_cast<int64_t>(answer.ids.size()) == options_.max_tokens;
    if (answer.finish_reason != model::FinishReason::kLength || was_limited) return;
    absl::FPrintF(stderr,
                  "The context of %d tokens is full, so the answer was cut. /clear forgets the "
                  "conversation; a larger context comes with --ctx.\n",
                  loaded_.stage().context_length());
  }

  absl::StatusOr<model::Generation> Generate() {
    // Nobody reads on where the text cannot be written.
    model::GenerationCallbacks callbacks{
        .on_text = {}, .cancelled = [] { return Interrupted() || std::ferror(stdout) != 0; }};
    if (!options_.json) {
      callbacks.on_text = [](std::string_view text) {
        std::fwrite(text.data(), 1, text.size(), stdout);
        std::fflush(stdout);
      };
    }
    POTLUCK_ASSIGN_OR_RETURN(model::Generation generation,
                             generator_.Generate(request_, callbacks));
    if (options_.json) {
      PrintJson(generation, request_, loaded_);
    } else {
      std::fputc('\n', stdout);
      POTLUCK_RETURN_IF_ERROR(FlushOutput());
      PrintSummary(generation);
    }
    return generation;
  }

  const RunOptions& options_;
  model::LocalModel& loaded_;
  model::Generator generator_;
  const bool chats_;
  model::GenerationRequest request_;
  ordered_json messages_;
  LineReader input_;
};

// What can be told from the flags alone, before a model is loaded.
absl::Status CheckOptions(const RunOptions& options) {
  const absl::Status sampling = model::CheckSampling(SamplingOf(options, {}), 0);
  if (!sampling.ok()) return UsageError(ToStd(sampling.message()));
  if (options.raw && !options.system.empty())
    return UsageError("--system is part of a conversation, --raw is none: leave one of them out");
  return absl::OkStatus();
}

// What the answer has to look like.
absl::StatusOr<std::string> ReadGrammar(const RunOptions& options) {
  if (options.json_schema_file.empty())
    return options.grammar_file.empty() ? "" : ReadTextFile(options.grammar_file);
  POTLUCK_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(options.json_schema_file));
  const absl::StatusOr<std::string> grammar = model::SchemaTextGrammar(text);
  if (!grammar.ok()) return Annotate(grammar.status(), options.json_schema_file);
  return grammar;
}

absl::Status Run(RunOptions options) {
  POTLUCK_RETURN_IF_ERROR(CheckOptions(options));
  POTLUCK_ASSIGN_OR_RETURN(options.sampling.grammar, ReadGrammar(options));
  if (!options.sampling.grammar.empty()) {
    const absl::Status grammar = model::ParseGbnf(options.sampling.grammar).status();
    if (!grammar.ok()) return Annotate(grammar, options.grammar_file + options.json_schema_file);
  }
  const bool converse =
      !options.prompt.has_value() && IsTerminal(STDIN_FILENO) && !options.raw && !options.json;
  std::string prompt = options.prompt.value_or("");
  if (!options.prompt.has_value() && !converse) {
    POTLUCK_ASSIGN_OR_RETURN(prompt, ReadStandardInput("the prompt"));
    if (prompt.empty())
      return UsageError("there is no prompt: give one as an argument or on standard input");
  }
  POTLUCK_RETURN_IF_ERROR(CheckUtf8(prompt, "the prompt"));
  POTLUCK_RETURN_IF_ERROR(CheckUtf8(options.system, "the --system text"));
  if (!options.cluster.url.empty())
    return RunOnCluster(options, converse ? std::nullopt : std::optional(prompt));
  POTLUCK_ASSIGN_OR_RETURN(const auto loaded, LoadModel(options.model, {}));
  Runner runner(options, converse, *loaded);
  return converse ? runner.Converse() : runner.AnswerOnce(prompt);
}

}  // namespace

void AddRunCommand(CLI::App& app, Command& command) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* run = app.add_subcommand("run", "Answer a prompt, or hold a conversation");
  AddModelOptions(*run, options->model);
  AddClusterOptions(*run, options->cluster);
  run->get_option("--url")->description(
      "Let a running cluster answer, where MODEL is the name of one that it has loaded");
  run->add_option("PROMPT", options->prompt,
                  "Without one: a conversation, or the text on standard input");
  run->add_flag("--raw", options->raw,
                "Continue the prompt as plain text, without the model's chat template");
  run->add_option("-n,--max-tokens", options->max_tokens,
                  "At most so many new tokens (-1: until the answer ends)")
      ->check(CLI::Range(int64_t{-1}, int64_t{1} << 30));
  run->add_option("--system", options->system, "Instructions put before the conversation");
  run->add_option("--temp", options->sampling.temperature,
                  "Temperature; 0 always takes the likeliest token");
  run->add_option("--top-k", options->sampling.top_k,
                  "Choose among the k likeliest tokens; 0: all");
  run->add_option("--top-p", options->sampling.top_p,
                  "Choose among the likeliest tokens that reach this probability together");
  run->add_option("--min-p", options->sampling.min_p,
                  "Leave out tokens less likely than this share of the likeliest");
  run->add_option("--repeat-penalty", options->sampling.repeat_penalty,
                  "Make the last 64 tokens less likely; 1: no");
  run->add_option("--presence-penalty", options->sampling.presence_penalty,
                  "Make tokens that were generated less likely");
  run->add_option("--frequency-penalty", options->sampling.frequency_penalty,
                  "The same, once per occurrence");
  run->add_option("--seed", options->sampling.seed,
                  "The same seed gives the same text, on any machine")
      ->type_name("UINT")
      ->check([](const std::string& text) {
        uint64_t seed = 0;
        return absl::SimpleAtoi(text, &seed) ? "" : "a seed is a whole number from 0 to 2^64 - 1";
      });
  run->add_option("--stop", options->stop,
                  "End the answer before this text (may be given several times)")
      ->allow_extra_args(false);
  CLI::Option* grammar = run->add_option("--grammar-file", options->grammar_file,
                                         "The answer keeps to this grammar (GBNF)");
  run->add_option("--json-schema-file", options->json_schema_file,
                  "The answer is JSON that keeps to this schema")
      ->excludes(grammar);
  CLI::Option* logprobs =
      run->add_option("--logprobs", options->top_logprobs,
                      "With --json: log-probabilities, and those of the K likeliest")
          ->check(CLI::Range(0, 100));
  CLI::Option* json =
      run->add_flag("--json", options->json, "Print one JSON object instead of the text");
  logprobs->needs(json);
  run->footer(
      "Examples:\n"
      "  potluck run model.gguf \"What can I cook with leeks?\"\n"
      "  potluck run model.gguf --temp 0 -n 50 --raw \"Once upon a time\"\n"
      "  potluck run model.gguf                    (a conversation)\n"
      "  potluck run model.gguf --json < question.txt\n"
      "  potluck run qwen3-8b --url http://nas:7070 \"And with carrots?\"");
  run->callback([options, &command] { command = [options] { return Run(*options); }; });
}

}  // namespace potluck::cli
