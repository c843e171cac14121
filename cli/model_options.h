// The flags that every command which runs a model shares, and the loading they ask for.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "model/generation/local_model.h"

namespace potluck::cli {

struct ModelOptions {
  std::string model;
  std::string models_dir;
  int64_t context_length = 0;
  std::string kv_type = "f16";
  int num_threads = 0;  // what -t says; 0: nothing
  std::string device = "cpu";
};

// MODEL and --models-dir alone: for commands that read only a file's header.
void AddModelArgument(CLI::App& command, ModelOptions& options);
// --kv-type, and what it says.
void AddKvTypeOption(CLI::App& command, ModelOptions& options);
kernels::DType KvTypeOf(const ModelOptions& options);
// --ctx and --kv-type.
void AddContextOptions(CLI::App& command, ModelOptions& options);
// -t and --device.
void AddDeviceOptions(CLI::App& command, ModelOptions& options);
// All of these.
void AddModelOptions(CLI::App& command, ModelOptions& options);

// The absolute path that a MODEL argument means: a path, or a name in the models folder. NotFound,
// with the names that there are.
absl::StatusOr<std::string> FindModel(const ModelOptions& options);

// The CPU threads to use: those asked for, but no more than the machine runs at once, which would
// only wait for each other. One per core where nobody asks.
int ThreadsFor(const ModelOptions& options);

// Loads with a progress bar on standard error, and a note where not all threads are used.
// `more` holds what the flags do not say.
absl::StatusOr<std::unique_ptr<model::LocalModel>> LoadModel(const ModelOptions& options,
                                                             model::LocalModelOptions more);

// Bytes that this process has held in memory at most.
int64_t PeakMemoryBytes();

}  // namespace potluck::cli
