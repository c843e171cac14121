#include "partition/model_shape.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string_view>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "model/config.h"
#include "model/decoder/decoder_graph.h"
#include "model/graph/bound_graph.h"
#include "model/graph/memory_plan.h"
#include "model/weights.h"

namespace potluck::partition {
namespace {

// No part of a model has more, and sums of a model's parts stay far from the end of int64.
constexpr int64_t kMostBytes = int64_t{1} << 50;

// The N of "blk.N.attn_q.weight".
std::optional<int64_t> LayerOf(std::string_view name) {
  constexpr std::string_view kPrefix = "blk.";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  int64_t layer = 0;
  if (!absl::SimpleAtoi(ToAbsl(name.substr(0, name.find('.'))), &layer)) return std::nullopt;
  return layer;
}

WeightWork WorkOf(const model::WeightSpec& spec, const model::WeightTensor& tensor,
                  const model::ExpertConfig& experts) {
  WeightWork work{.dtype = tensor.dtype, .held_bytes = model::StoredBytes(tensor)};
  int64_t used = 1;
  if (spec.num_experts > 0) {
    used = experts.num_experts_used;
    work.touched_share = static_cast<double>(used) / static_cast<double>(spec.num_experts);
  }
  work.operations_per_token =
      2.0 * static_cast<double>(used) * static_cast<double>(spec.rows * spec.cols);
  return work;
}

// Weights of one format and one share are one entry: the planner visits each many times.
void AddWork(const WeightWork& work, std::vector<WeightWork>& all) {
  for (WeightWork& known : all) {
    if (known.dtype != work.dtype || known.touched_share != work.touched_share) continue;
    known.held_bytes += work.held_bytes;
    known.operations_per_token += work.operations_per_token;
    return;
  }
  all.push_back(work);
}

// Arenas grow linearly with T and with O; the quotients are rounded up.
void SizeActivations(const model::Graph& graph, ModelShape& shape) {
  constexpr int64_t kTokens = 512;
  const auto arena = [&](int64_t tokens, int64_t outputs) {
    return model::PlanMemory(graph, {tokens, outputs}).arena_bytes;
  };
  shape.activation_bytes_per_token = (arena(kTokens, 1) + kTokens - 1) / kTokens;
  shape.activation_bytes_per_output =
      (std::max<int64_t>(0, arena(kTokens, kTokens) - arena(kTokens, 0)) + kTokens - 1) / kTokens;
}

absl::Status CheckWork(const WeightWork& work, absl::string_view where) {
  const bool fine = work.held_bytes >= 0 && work.held_bytes <= kMostBytes &&
                    work.dtype != kernels::DType::kI32 && work.touched_share > 0 &&
                    work.touched_share <= 1 && work.operations_per_token >= 0 &&
                    std::isfinite(work.operations_per_token);
  if (fine) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the model's ", where, " has weights of impossible size"));
}

}  // namespace

int64_t ModelShape::LayerBytes(int64_t layer) const {
  int64_t bytes = 0;
  for (const WeightWork& work : layers[layer].weights) bytes += work.held_bytes;
  return bytes;
}

absl::StatusOr<ModelShape> MakeModelShape(const std::string& name, const model::ModelConfig& config,
                                          const model::WeightSource& source) {
  POTLUCK_ASSIGN_OR_RETURN(
      const model::DecoderGraph decoder,
      model::BuildDecoder(config, model::StageRange::Whole(config), source, config.context_length));
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<const model::WeightTensor*> tensors,
                           model::FindWeights(decoder.graph, source));
  ModelShape shape{.name = name,
                   .model_dim = config.model_dim,
                   .head_dim = config.head_dim,
                   .context_length = config.context_length,
                   .layers = {},
                   .tied_embeddings = config.tied_embeddings};
  for (const model::LayerConfig& layer : config.layers) {
    shape.layers.push_back(
        {.weights = {},
         .window = layer.attention == model::AttentionKind::kWindow ? config.window : 0,
         .kv_values = 2 * config.num_kv_heads * config.head_dim,
         .operations_per_visit = 4.0 * static_cast<double>(config.num_heads * config.head_dim)});
  }
  for (size_t i = 0; i < tensors.size(); ++i) {
    const model::WeightSpec& spec = decoder.graph.weights[i];
    const WeightWork work = WorkOf(spec, *tensors[i], config.experts);
    if (const std::optional<int64_t> layer = LayerOf(spec.name)) {
      AddWork(work, shape.layers[*layer].weights);
      continue;
    }
    const bool embeds = spec.name == "token_embd.weight";
    if (embeds) {
      shape.embedding = work;
      shape.embedding.operations_per_token = 0;
      shape.embedding_row_bytes = work.held_bytes / std::max<int64_t>(1, spec.rows);
    }
    if (!embeds || config.tied_embeddings) shape.head = work;
  }
  SizeActivations(decoder.graph, shape);
  POTLUCK_RETURN_IF_ERROR(CheckModelShape(shape));
  return shape;
}

absl::Status CheckModelShape(const ModelShape& shape) {
  if (shape.layers.empty() || shape.num_layers() > kMaxLayers) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a model of ", shape.num_layers(), " layers: 1 to ", kMaxLayers, " can be planned"));
  }
  const auto is_size = [](int64_t size) { return size >= 0 && size <= kMostBytes; };
  if (!is_size(shape.model_dim) || !is_size(shape.embedding_row_bytes) ||
      !is_size(shape.activation_bytes_per_token) || !is_size(shape.activation_bytes_per_output)) {
    return absl::InvalidArgumentError("the model has impossible dimensions");
  }
  POTLUCK_RETURN_IF_ERROR(CheckWork(shape.embedding, "embedding"));
  POTLUCK_RETURN_IF_ERROR(CheckWork(shape.head, "head"));
  for (int64_t i = 0; i < shape.num_layers(); ++i) {
    const LayerShape& layer = shape.layers[i];
    const std::string where = absl::StrCat("layer ", i);
    for (const WeightWork& work : layer.weights) POTLUCK_RETURN_IF_ERROR(CheckWork(work, where));
    if (!is_size(layer.window) || !is_size(layer.kv_values) || !(layer.operations_per_visit >= 0)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the model's ", where, " has impossible sizes"));
    }
  }
  return absl::OkStatus();
}

}  // namespace potluck::partition
