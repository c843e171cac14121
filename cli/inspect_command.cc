// potluck inspect: what a model file holds. Reads headers only.
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/command.h"
#include "cli/model_options.h"
#include "common/status_macros.h"
#include "model/model_file.h"

namespace potluck::cli {
namespace {

using nlohmann::ordered_json;

struct InspectOptions {
  ModelOptions model;
  bool json = false;
  bool tensors = false;
};

std::string ShapeText(const std::vector<int64_t>& shape) {
  return absl::StrCat("(", absl::StrJoin(shape, ", "), ")");
}

void PrintText(const model::ModelFile& file, bool with_tensors) {
  const auto line = [](absl::string_view key, absl::string_view value) {
    absl::PrintF("%-14s %s\n", key, value);
  };
  line("model", file.name);
  line("file", file.path);
  line("format", file.format);
  if (file.config.ok()) {
    const model::ModelConfig& config = *file.config;
    line("architecture", config.architecture);
    line("layers", absl::StrCat(config.num_layers));
    line("model_dim", absl::StrCat(config.model_dim));
    line("ffn_dim", absl::StrCat(config.ffn_dim));
    line("heads", absl::StrCat(config.num_heads, " (", config.num_kv_heads,
                               " for keys and values) of ", config.head_dim));
    line("vocabulary", absl::StrCat(config.vocab_size));
    line("context", absl::StrCat(config.context_length));
    if (config.experts.num_experts > 0) {
      line("experts", absl::StrCat(config.experts.num_experts, ", ",
                                   config.experts.num_experts_used, " per token"));
    }
  } else {
    line("not runnable", file.config.status().message());
  }
  line("weights",
       absl::StrFormat("%.1f MiB in %d file%s", static_cast<double>(file.tensor_bytes) / (1 << 20),
                       file.num_files, file.num_files == 1 ? "" : "s"));
  line("chat template", file.chat_template.has_value() ? "yes" : "none");
  absl::PrintF("\nmetadata\n");
  for (const model::MetadataLine& entry : model::ListMetadata(file)) {
    absl::PrintF("  %s = %s\n", entry.key, entry.value);
  }
  if (!with_tensors) return;
  absl::PrintF("\ntensors\n");
  for (const model::TensorLine& tensor : model::ListTensors(file)) {
    absl::PrintF("  %-40s %-8s %-24s %d bytes\n", tensor.name, tensor.type, ShapeText(tensor.shape),
                 tensor.size_bytes);
  }
}

void PrintJson(const model::ModelFile& file, bool with_tensors) {
  ordered_json result = {{"name", file.name},
                         {"path", file.path},
                         {"format", file.format},
                         {"files", file.num_files},
                         {"tensor_bytes", file.tensor_bytes},
                         {"chat_template", file.chat_template.has_value()}};
  if (file.config.ok()) {
    const model::ModelConfig& config = *file.config;
    result["config"] = {{"architecture", config.architecture},
                        {"num_layers", config.num_layers},
                        {"model_dim", config.model_dim},
                        {"ffn_dim", config.ffn_dim},
                        {"num_heads", config.num_heads},
                        {"num_kv_heads", config.num_kv_heads},
                        {"head_dim", config.head_dim},
                        {"vocab_size", config.vocab_size},
                        {"context_length", config.context_length},
                        {"num_experts", config.experts.num_experts},
                        {"num_experts_used", config.experts.num_experts_used}};
  } else {
    result["config"] = nullptr;
    result["error"] = std::string(file.config.status().message());
  }
  result["metadata"] = ordered_json::object();
  for (const model::MetadataLine& entry : model::ListMetadata(file))
    result["metadata"][entry.key] = entry.value;
  if (with_tensors) {
    result["tensors"] = ordered_json::array();
    for (const model::TensorLine& tensor : model::ListTensors(file)) {
      result["tensors"].push_back({{"name", tensor.name},
                                   {"type", tensor.type},
                                   {"shape", tensor.shape},
                                   {"bytes", tensor.size_bytes},
                                   {"file", tensor.file}});
    }
  }
  std::cout << result.dump(2, ' ', false, ordered_json::error_handler_t::replace) << "\n";
}

absl::Status Inspect(const InspectOptions& options) {
  POTLUCK_ASSIGN_OR_RETURN(const std::string path, FindModel(options.model));
  POTLUCK_ASSIGN_OR_RETURN(const model::ModelFile file, model::OpenModelFile(path));
  options.json ? PrintJson(file, options.tensors) : PrintText(file, options.tensors);
  return absl::OkStatus();
}

}  // namespace

void AddInspectCommand(CLI::App& app, Command& command) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* inspect = app.add_subcommand("inspect", "Show what a model file holds");
  AddModelArgument(*inspect, options->model);
  inspect->add_flag("--json", options->json, "Print one JSON object");
  inspect->add_flag("--tensors", options->tensors, "List every tensor");
  inspect->footer(
      "Examples:\n  potluck inspect model.gguf\n  potluck inspect model.gguf --tensors --json");
  inspect->callback([options, &command] { command = [options] { return Inspect(*options); }; });
}

}  // namespace potluck::cli
