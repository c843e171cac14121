#include "worker/profile/layer_overhead.h"

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "model/decoder/decoder_stage.h"
#include "worker/profile/best_seconds.h"

namespace potluck::worker {
namespace {

using kernels::DType;
using kernels::TensorView;
using kernels::Weight;

constexpr int64_t kDim = 32;  // of a small layer, everywhere
constexpr int64_t kFew = 1, kMany = 9;
constexpr int kProducts = 4;  // of a layer: q, k, v; output; gate, up; down
constexpr int64_t kRows = 16;

// Weights of small layers in f32, all the same.
class SmallWeights final : public model::WeightSource {
 public:
  explicit SmallWeights(int64_t num_layers) : values_(kDim * kDim, 1.0F / kDim) {
    for (int64_t i = 0; i < num_layers; ++i) {
      for (const char* norm : {"attn_norm", "ffn_norm"}) Add(i, norm, {kDim});
      for (const char* product :
           {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"})
        Add(i, product, {kDim, kDim});
    }
  }

  const model::WeightTensor* Find(std::string_view name) const override {
    const auto found = std::ranges::find(tensors_, name, &model::WeightTensor::name);
    return found == tensors_.end() ? nullptr : &*found;
  }
  std::span<const model::WeightTensor> tensors() const override { return tensors_; }

 private:
  void Add(int64_t layer, const char* part, std::vector<int64_t> shape) {
    const size_t count = shape.size() == 1 ? kDim : kDim * kDim;
    tensors_.push_back({.name = absl::StrCat("blk.", layer, ".", part, ".weight"),
                        .dtype = DType::kF32,
                        .shape = std::move(shape),
                        .bytes = std::as_bytes(std::span(values_).first(count)),
                        .file = nullptr,
                        .experts = {}});
  }

  const std::vector<float> values_;
  std::vector<model::WeightTensor> tensors_;
};

model::ModelConfig SmallConfig(int64_t num_layers) {
  model::ModelConfig config;
  config.architecture = "llama";
  config.num_layers = num_layers;
  config.model_dim = config.ffn_dim = config.head_dim = config.rope_dims = kDim;
  config.num_heads = config.num_kv_heads = 1;
  config.vocab_size = kDim;
  config.context_length = kernels::kKvBlockPositions;
  config.layers.resize(num_layers);
  config.attention_scale = 1;
  return config;
}

// t(n): layers without embedding and head.
absl::StatusOr<double> StepSeconds(kernels::Backend& backend, const Clock& clock,
                                   int64_t num_layers, absl::Duration enough) {
  constexpr model::SequenceId kSequence = 1;
  const model::ModelConfig config = SmallConfig(num_layers + 2);
  const SmallWeights weights(num_layers + 2);
  model::StageOptions options;
  options.range = {.first_cut = 2, .last_cut = 2 + 2 * num_layers};
  options.context_length = config.context_length;
  options.kv.capacity = config.context_length;
  options.max_tokens = options.max_outputs = 1;
  POTLUCK_ASSIGN_OR_RETURN(const auto stage,
                           model::DecoderStage::Load(config, weights, backend, options));
  POTLUCK_RETURN_IF_ERROR(stage->kv().Begin(kSequence, {}).status());
  model::Step step;
  step.tokens.push_back({.sequence = kSequence});
  const std::vector<float> hidden(kDim, 1);
  return BestSeconds(backend, clock, enough, [&]() -> absl::Status {
    POTLUCK_RETURN_IF_ERROR(stage->Run(step, hidden));
    return stage->kv().Apply(model::TrimCommand{kSequence, 0});
  });
}

// What a call costs beyond its work: four products in four calls against the same in one.
absl::StatusOr<double> CallSeconds(kernels::Backend& backend, const Clock& clock, int64_t rows,
                                   int64_t cols, absl::Duration enough) {
  const std::vector<float> values(rows * cols, 0.5F);
  POTLUCK_ASSIGN_OR_RETURN(const auto x, backend.Allocate(cols * 4, "a measurement's input"));
  POTLUCK_ASSIGN_OR_RETURN(const auto y,
                           backend.Allocate(kProducts * rows * 4, "a measurement's output"));
  std::vector<std::unique_ptr<Weight>> weights;
  std::vector<kernels::Product> products;
  for (int i = 0; i < kProducts; ++i) {
    POTLUCK_ASSIGN_OR_RETURN(std::unique_ptr<Weight> weight,
                             backend.LoadWeight({.name = "a measurement's weight",
                                                 .dtype = DType::kF32,
                                                 .rows = rows,
                                                 .cols = cols,
                                                 .parts = {std::as_bytes(std::span(values))}}));
    products.push_back(
        {.weight = weight.get(), .y = TensorView::Dense(y.get(), i * rows * 4, {1, rows})});
    weights.push_back(std::move(weight));
  }
  const TensorView input = TensorView::Dense(x.get(), 0, {1, cols});
  const std::span<const kernels::Product> all = products;
  POTLUCK_ASSIGN_OR_RETURN(
      const double apart, BestSeconds(backend, clock, enough, [&]() -> absl::Status {
        for (int i = 0; i < kProducts; ++i)
          POTLUCK_RETURN_IF_ERROR(backend.MatMul({.x = input, .products = all.subspan(i, 1)}));
        return absl::OkStatus();
      }));
  POTLUCK_ASSIGN_OR_RETURN(const double together, BestSeconds(backend, clock, enough, [&] {
                             return backend.MatMul({.x = input, .products = all});
                           }));
  return std::max(0.0, apart - together) / (kProducts - 1);
}

absl::StatusOr<double> Measure(kernels::Backend& backend, const Clock& clock,
                               const LayerOverheadOptions& options) {
  constexpr int64_t kCols = 4096;
  const int64_t rows = std::max(kRows, options.shared_bytes / (kCols * 4) / kRows * kRows);
  POTLUCK_RETURN_IF_ERROR(backend.Reserve({.max_tokens = 1, .max_input_dim = kCols}));
  POTLUCK_ASSIGN_OR_RETURN(const double shared,
                           CallSeconds(backend, clock, rows, kCols, options.enough));
  POTLUCK_ASSIGN_OR_RETURN(const double small,
                           CallSeconds(backend, clock, kRows, kDim, options.enough));
  POTLUCK_ASSIGN_OR_RETURN(const double few, StepSeconds(backend, clock, kFew, options.enough));
  POTLUCK_ASSIGN_OR_RETURN(const double many, StepSeconds(backend, clock, kMany, options.enough));
  const double calls = std::max(0.0, many - few) / (kMany - kFew);
  return calls + kProducts * std::max(0.0, shared - small);
}

}  // namespace

absl::StatusOr<double> MeasureLayerOverhead(kernels::Backend& backend, const Clock& clock,
                                            const LayerOverheadOptions& options) {
  absl::StatusOr<double> seconds = Measure(backend, clock, options);
  if (absl::IsUnimplemented(seconds.status())) return 0;
  return seconds;
}

}  // namespace potluck::worker
