#include "cli/model_options.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/environment.h"
#include "cli/terminal.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "kernels/devices.h"
#include "model/kv/kv_types.h"

namespace potluck::cli {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> ModelsIn(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const fs::path& path = entry->path();
    if (path.extension() == ".gguf") names.push_back(path.stem());
    if (entry->is_directory(error)) names.push_back(path.filename());
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace

void AddModelArgument(CLI::App& command, ModelOptions& options) {
  command
      .add_option("MODEL", options.model,
                  "A .gguf file, a Hugging Face folder, or a name in the models folder")
      ->required();
  command.add_option("--models-dir", options.models_dir,
                     "Where models are looked up by name (default: $XDG_DATA_HOME/potluck/models)");
}

void AddContextOptions(CLI::App& command, ModelOptions& options) {
  command
      .add_option("--ctx", options.context_length,
                  "Context in tokens (default: the model's own, or what fits)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30));
  AddKvTypeOption(command, options);
}

void AddKvTypeOption(CLI::App& command, ModelOptions& options) {
  command.add_option("--kv-type", options.kv_type, "How keys and values are kept: f16, f32 or q8")
      ->check(CLI::IsMember({"f16", "f32", "q8"}))
      ->capture_default_str();
}

kernels::DType KvTypeOf(const ModelOptions& options) {
  return *model::KvTypeNamed(options.kv_type);
}

void AddModelOptions(CLI::App& command, ModelOptions& options) {
  AddModelArgument(command, options);
  AddContextOptions(command, options);
  AddDeviceOptions(command, options);
}

void AddDeviceOptions(CLI::App& command, ModelOptions& options) {
  command.add_option("-t,--threads", options.num_threads, "CPU threads (default: one per core)")
      ->check(CLI::Range(1, 1024));
  command.add_option("--device", options.device, "Device to run on (see `potluck devices`)")
      ->capture_default_str();
}

int ThreadsFor(const ModelOptions& options) {
  if (options.num_threads == 0) return kernels::DefaultCpuThreads();
  const int most = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  return std::min(options.num_threads, most);
}

absl::StatusOr<std::string> FindModel(const ModelOptions& options) {
  std::error_code error;
  if (fs::exists(options.model, error) || error) return AbsolutePath(options.model);
  if (options.model.starts_with("hf:")) {
    return absl::UnimplementedError(
        "models are not downloaded yet: fetch the file and give its path");
  }
  const fs::path folder = options.models_dir.empty() ? DefaultModelsFolder() : options.models_dir;
  const bool is_name = options.model.find('/') == std::string::npos;
  for (const char* suffix : {".gguf", ""}) {
    const fs::path path = folder / (options.model + suffix);
    if (is_name && fs::exists(path, error)) return path.string();
  }
  const std::vector<std::string> names = ModelsIn(folder);
  return absl::NotFoundError(absl::StrCat(
      "no file, folder or model \"", options.model, "\"; ",
      names.empty()
          ? absl::StrCat("give the path of a model (there is none in ", folder.string(), ")")
          : absl::StrCat(folder.string(), " has ", absl::StrJoin(names, ", "))));
}

absl::StatusOr<std::unique_ptr<model::LocalModel>> LoadModel(const ModelOptions& options,
                                                             model::LocalModelOptions more) {
  POTLUCK_ASSIGN_OR_RETURN(const std::string path, FindModel(options));
  const int num_threads = ThreadsFor(options);
  if (num_threads < options.num_threads) {
    absl::FPrintF(stderr, "note: this machine runs %d threads at once, not %d: using %d\n",
                  num_threads, options.num_threads, num_threads);
  }
  auto device = kernels::OpenDevice({.device = options.device,
                                     .num_threads = num_threads,
                                     .target = EnvironmentOr("POTLUCK_TARGET", "")});
  if (absl::IsInvalidArgument(device.status())) return UsageError(ToStd(device.status().message()));
  POTLUCK_RETURN_IF_ERROR(device.status());
  ProgressLine progress("loading");
  more.context_length = options.context_length;
  more.kv_dtype = KvTypeOf(options);
  more.on_progress = [&](double fraction) { progress.Show(fraction); };
  more.cancelled = &Interrupted;
  return model::LocalModel::Load(path, *std::move(device), more);
}

int64_t PeakMemoryBytes() {
  // getrusage's figure begins with what the parent held when it started this process.
  std::ifstream status("/proc/self/status");
  std::string key;
  for (int64_t kib = 0; status >> key; status.ignore(256, '\n')) {
    if (key == "VmHWM:" && status >> kib) return kib * 1024;
  }
  return 0;
}

}  // namespace potluck::cli
