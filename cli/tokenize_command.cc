// potluck tokenize: the token ids of a text. Needs a model's header only, so it works for any
// architecture.
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "absl/strings/str_format.h"
#include "cli/command.h"
#include "cli/model_options.h"
#include "cli/terminal.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "model/model_file.h"
#include "model/tokenizer/tokenizer.h"

namespace potluck::cli {
namespace {

using nlohmann::ordered_json;

struct TokenizeOptions {
  ModelOptions model;
  std::optional<std::string> text, file;
  bool json = false;
  bool no_bos = false;
};

absl::StatusOr<std::string> ReadText(const TokenizeOptions& options) {
  if (options.text.has_value()) return *options.text;
  if (options.file.has_value()) return ReadTextFile(*options.file);
  return ReadStandardInput("the text");
}

absl::Status Tokenize(const TokenizeOptions& options) {
  if (options.text.has_value() && options.file.has_value())
    return UsageError("give TEXT or -f FILE, not both");
  POTLUCK_ASSIGN_OR_RETURN(const std::string path, FindModel(options.model));
  POTLUCK_ASSIGN_OR_RETURN(const model::ModelFile file, model::OpenModelFile(path));
  POTLUCK_ASSIGN_OR_RETURN(model::Vocabulary vocabulary, model::ReadVocabulary(file));
  POTLUCK_ASSIGN_OR_RETURN(const auto tokenizer, model::Tokenizer::Create(std::move(vocabulary)));
  for (const std::string& warning : tokenizer->warnings())
    absl::FPrintF(stderr, "warning: %s\n", warning);
  POTLUCK_ASSIGN_OR_RETURN(const std::string text, ReadText(options));
  std::vector<model::TokenId> ids;
  // An empty text has no tokens, not even a first one.
  if (!text.empty()) {
    POTLUCK_ASSIGN_OR_RETURN(ids, tokenizer->Encode(text, {.add_special = !options.no_bos}));
  }
  if (options.json) {
    ordered_json result = {{"ids", ids}, {"tokens", ordered_json::array()}};
    for (const model::TokenId id : ids) result["tokens"].push_back(tokenizer->TokenText(id));
    std::cout << result.dump(-1, ' ', false, ordered_json::error_handler_t::replace) << "\n";
    return absl::OkStatus();
  }
  for (const model::TokenId id : ids) {
    absl::PrintF("%7d  %s\n", id, Printable(tokenizer->TokenText(id)));
  }
  return absl::OkStatus();
}

}  // namespace

void AddTokenizeCommand(CLI::App& app, Command& command) {
  auto options = std::make_shared<TokenizeOptions>();
  CLI::App* tokenize = app.add_subcommand("tokenize", "Show the tokens of a text");
  AddModelArgument(*tokenize, options->model);
  tokenize->add_option("TEXT", options->text, "Without one: standard input");
  tokenize->add_option("-f,--file", options->file, "The exact bytes of this file or pipe");
  tokenize->add_flag("--json", options->json, "Print {\"ids\": [...], \"tokens\": [...]}");
  tokenize->add_flag("--no-bos", options->no_bos, "Add no special token at all");
  tokenize->footer(
      "Examples:\n  potluck tokenize model.gguf \"Hello\"\n  potluck tokenize model.gguf -f "
      "text.txt --json");
  tokenize->callback([options, &command] { command = [options] { return Tokenize(*options); }; });
}

}  // namespace potluck::cli
