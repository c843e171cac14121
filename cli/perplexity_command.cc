// potluck perplexity: how well a model predicts a text.
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "cli/command.h"
#include "cli/model_options.h"
#include "cli/terminal.h"
#include "common/status_macros.h"
#include "model/evaluate/perplexity.h"

namespace potluck::cli {
namespace {

using nlohmann::ordered_json;

struct PerplexityOptions {
  ModelOptions model;
  std::string file;
  bool json = false;
};

absl::Status MeasurePerplexity(const PerplexityOptions& options) {
  POTLUCK_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(options.file));
  POTLUCK_ASSIGN_OR_RETURN(const auto loaded, LoadModel(options.model, {.max_outputs = 64}));
  POTLUCK_ASSIGN_OR_RETURN(const auto ids, loaded->text().EncodeText(text));
  const absl::Duration start = SteadyClock().SinceStart();
  absl::StatusOr<model::Perplexity> result;
  {
    ProgressLine progress("perplexity");
    result = model::MeasurePerplexity(
        loaded->stage(), loaded->tokenizer(), ids, loaded->stage().context_length(),
        {.on_progress =
             [&](int64_t done, int64_t chunks, double so_far) {
               progress.Show(static_cast<double>(done) / static_cast<double>(chunks),
                             absl::StrFormat("%.4f so far", so_far));
             },
         .cancelled = &Interrupted});
  }
  POTLUCK_RETURN_IF_ERROR(result.status());
  const double seconds = absl::ToDoubleSeconds(SteadyClock().SinceStart() - start);
  if (options.json) {
    const ordered_json line = {{"perplexity", result->perplexity},
                               {"standard_error", result->standard_error},
                               {"negative_log_likelihood", result->mean_negative_log_likelihood},
                               {"tokens", result->tokens},
                               {"scored_tokens", result->scored_tokens},
                               {"chunks", result->chunks},
                               {"ctx", loaded->stage().context_length()},
                               {"seconds", seconds}};
    std::cout << line.dump() << "\n";
    return absl::OkStatus();
  }
  absl::PrintF("perplexity %.4f +/- %.4f (%d of %d tokens scored, in %d chunks of %d; %.1f s)\n",
               result->perplexity, result->standard_error, result->scored_tokens, result->tokens,
               result->chunks, loaded->stage().context_length(), seconds);
  return absl::OkStatus();
}

}  // namespace

void AddPerplexityCommand(CLI::App& app, Command& command) {
  auto options = std::make_shared<PerplexityOptions>();
  options->model.context_length = 512;
  CLI::App* perplexity =
      app.add_subcommand("perplexity", "Measure how well a model predicts a text");
  AddModelOptions(*perplexity, options->model);
  perplexity->get_option("--ctx")->description(
      "Tokens per chunk; the second half of each is scored (default: 512)");
  perplexity->add_option("-f,--file", options->file, "The text; a pipe will do")->required();
  perplexity->add_flag("--json", options->json, "Print one JSON object");
  perplexity->footer("Example:\n  potluck perplexity model.gguf -f wiki.test.raw --ctx 512");
  perplexity->callback(
      [options, &command] { command = [options] { return MeasurePerplexity(*options); }; });
}

}  // namespace potluck::cli
