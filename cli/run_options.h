// What `potluck run` is asked, on this machine or of a cluster.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/cluster_client.h"
#include "cli/model_options.h"
#include "model/sampling/sampling_overrides.h"

namespace potluck::cli {

struct RunOptions {
  ModelOptions model;
  ClusterOptions cluster;  // asked where its URL is given
  std::optional<std::string> prompt;
  std::string system;
  bool raw = false;
  bool json = false;
  int64_t max_tokens = -1;
  int top_logprobs = -1;
  std::vector<std::string> stop;
  std::string grammar_file, json_schema_file;  // at most one; `sampling` has the grammar then
  model::SamplingOverrides sampling;
};

// On a cluster. `prompt`: what to answer; nothing: hold a conversation.
absl::Status RunOnCluster(const RunOptions& options, const std::optional<std::string>& prompt);

}  // namespace potluck::cli
