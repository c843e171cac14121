#include "model/graph/bound_graph.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "model/graph/tensor_floats.h"

namespace potluck::model {
namespace {

using kernels::TensorView;

absl::Status CheckShape(const WeightTensor& tensor, std::vector<int64_t> wanted) {
  if (tensor.shape == wanted) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("tensor ", tensor.name, " is (", absl::StrJoin(tensor.shape, ", "),
                   "), but the model's header asks for (", absl::StrJoin(wanted, ", "),
                   "): the file is damaged or of a variant that Potluck does not know"));
}

kernels::WeightData DataOf(const WeightSpec& spec, const WeightTensor& tensor) {
  kernels::WeightData data{.name = spec.name,
                           .dtype = tensor.dtype,
                           .num_experts = std::max<int64_t>(1, spec.num_experts),
                           .rows = spec.rows,
                           .cols = spec.cols,
                           .parts = {}};
  if (!tensor.experts.empty()) {
    for (const WeightBytes& expert : tensor.experts) data.parts.push_back(expert.bytes);
    return data;
  }
  const size_t part_bytes = tensor.bytes.size() / data.num_experts;
  for (int64_t i = 0; i < data.num_experts; ++i)
    data.parts.push_back(tensor.bytes.subspan(i * part_bytes, part_bytes));
  return data;
}

void DropPages(const WeightTensor& tensor) {
  if (tensor.file != nullptr) tensor.file->DropPages(tensor.bytes);
  for (const WeightBytes& expert : tensor.experts) expert.file->DropPages(expert.bytes);
}

absl::StatusOr<std::unique_ptr<kernels::Buffer>> UploadFloats(kernels::Backend& backend,
                                                              const std::string& name,
                                                              std::span<const float> floats) {
  POTLUCK_ASSIGN_OR_RETURN(auto buffer,
                           backend.Allocate(static_cast<int64_t>(floats.size_bytes()), name));
  const auto size = static_cast<int64_t>(floats.size());
  POTLUCK_RETURN_IF_ERROR(
      backend.Upload(std::as_bytes(floats), TensorView::Dense(buffer.get(), 0, {size})));
  return buffer;
}

}  // namespace

int64_t StoredBytes(const WeightTensor& tensor) {
  auto bytes = static_cast<int64_t>(tensor.bytes.size());
  for (const WeightBytes& expert : tensor.experts)
    bytes += static_cast<int64_t>(expert.bytes.size());
  return bytes;
}

absl::StatusOr<std::vector<const WeightTensor*>> FindWeights(const Graph& graph,
                                                             const WeightSource& source) {
  std::vector<const WeightTensor*> tensors;
  for (const WeightSpec& spec : graph.weights) {
    POTLUCK_ASSIGN_OR_RETURN(const WeightTensor* tensor, source.Get(spec.name));
    std::vector<int64_t> shape = {spec.rows, spec.cols};
    if (spec.num_experts > 0) shape.insert(shape.begin(), spec.num_experts);
    POTLUCK_RETURN_IF_ERROR(CheckShape(*tensor, shape));
    tensors.push_back(tensor);
  }
  return tensors;
}

BoundGraph::BoundGraph(Graph graph, kernels::Backend& backend, const Options& options)
    : graph_(std::move(graph)),
      backend_(backend),
      largest_(options.largest),
      precision_(options.precision),
      plan_(PlanMemory(graph_, options.largest)) {}

absl::StatusOr<std::unique_ptr<BoundGraph>> BoundGraph::Bind(Graph graph,
                                                             const WeightSource& source,
                                                             kernels::Backend& backend,
                                                             const Options& options) {
  std::unique_ptr<BoundGraph> bound(new BoundGraph(std::move(graph), backend, options));
  POTLUCK_RETURN_IF_ERROR(bound->LoadWeights(source, options));
  POTLUCK_RETURN_IF_ERROR(bound->LoadVectors(source));
  POTLUCK_RETURN_IF_ERROR(bound->LoadRopeTables());
  POTLUCK_ASSIGN_OR_RETURN(bound->arena_,
                           backend.Allocate(bound->plan_.arena_bytes, "the activations of a step"));
  size_t most_products = 0;
  for (const Node& node : bound->graph_.nodes) {
    most_products = std::max(most_products, UsesOf(node.op).writes.size());
  }
  bound->products_.reserve(most_products);
  return bound;
}

absl::Status BoundGraph::LoadWeights(const WeightSource& source, const Options& options) {
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<const WeightTensor*> tensors,
                           FindWeights(graph_, source));
  int64_t total_bytes = 0;
  for (const WeightTensor* tensor : tensors) total_bytes += StoredBytes(*tensor);
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (options.cancelled && options.cancelled())
      return absl::CancelledError("loading was stopped");
    POTLUCK_ASSIGN_OR_RETURN(auto weight,
                             backend_.LoadWeight(DataOf(graph_.weights[i], *tensors[i])));
    weights_.push_back(std::move(weight));
    DropPages(*tensors[i]);
    weight_bytes_ += StoredBytes(*tensors[i]);
    if (options.on_progress) options.on_progress(static_cast<double>(weight_bytes_) / total_bytes);
  }
  return absl::OkStatus();
}

absl::Status BoundGraph::LoadVectors(const WeightSource& source) {
  for (const VectorSpec& spec : graph_.vectors) {
    POTLUCK_ASSIGN_OR_RETURN(const WeightTensor* tensor, source.Get(spec.name));
    POTLUCK_RETURN_IF_ERROR(CheckShape(*tensor, {spec.size}));
    POTLUCK_ASSIGN_OR_RETURN(std::vector<float> floats, FloatsOf(*tensor));
    for (float& value : floats) value += spec.added;
    POTLUCK_ASSIGN_OR_RETURN(auto buffer, UploadFloats(backend_, spec.name, floats));
    vectors_.push_back(std::move(buffer));
  }
  return absl::OkStatus();
}

absl::Status BoundGraph::LoadRopeTables() {
  for (const RopeTable& table : graph_.rope_tables) {
    POTLUCK_ASSIGN_OR_RETURN(auto buffer,
                             UploadFloats(backend_, "RoPE frequencies", table.inv_freq));
    rope_tables_.push_back(std::move(buffer));
  }
  return absl::OkStatus();
}

TensorView BoundGraph::ViewOf(ValueId value, const Symbols& symbols) const {
  const Value& of = graph_.values[value];
  return TensorView::Dense(arena_.get(), plan_.offset_bytes[value],
                           {of.rows.Evaluate(symbols), of.cols}, of.dtype);
}

// Turns each node into the call of its kernel, for one step.
struct BoundGraph::Runner {
  BoundGraph& bound;
  const GraphInputs& inputs;
  Symbols symbols;
  NodeRows node_rows;

  TensorView View(ValueId value) const { return bound.ViewOf(value, symbols); }
  TensorView Heads(ValueId value, int64_t head_dim) const {
    const TensorView rows = View(value);
    return rows.Reshaped({rows.shape[0], rows.shape[1] / head_dim, head_dim});
  }
  TensorView Vector(VectorId vector) const {
    return vector == kNoId ? TensorView{}
                           : TensorView::Dense(bound.vectors_[vector].get(), 0,
                                               {bound.graph_.vectors[vector].size});
  }
  std::span<const kernels::Product> Products(const std::vector<ProductOp>& ops) const {
    bound.products_.clear();
    for (const ProductOp& op : ops) {
      bound.products_.push_back({.weight = bound.weights_[op.weight].get(),
                                 .bias = Vector(op.bias),
                                 .adapters = {},
                                 .y = View(op.y)});
    }
    return bound.products_;
  }

  absl::Status operator()(const EmbedOp& op) const {
    return bound.backend_.Embed({.ids = inputs.ids,
                                 .weight = bound.weights_[op.weight].get(),
                                 .scale = op.scale,
                                 .y = View(op.y)});
  }
  absl::Status operator()(const RmsNormOp& op) const {
    TensorView x = View(op.x), y = View(op.y);
    const int64_t rows = x.num_elements() / op.row_size;
    return bound.backend_.RmsNorm({.x = x.Reshaped({rows, op.row_size}),
                                   .gain = Vector(op.gain),
                                   .eps = op.eps,
                                   .y = y.Reshaped({rows, op.row_size})});
  }
  absl::Status operator()(const MatMulOp& op) const {
    return bound.backend_.MatMul(
        {.x = View(op.x), .products = Products(op.products), .precision = bound.precision_});
  }
  absl::Status operator()(const ExpertMatMulOp& op) const {
    const TensorView experts = View(op.experts);
    return bound.backend_.ExpertMatMul({.x = View(op.x),
                                        .experts = experts,
                                        .products = Products(op.products),
                                        .precision = bound.precision_});
  }
  absl::Status operator()(const RopeOp& op) const {
    const RopeTable& table = bound.graph_.rope_tables[op.table];
    const auto pairs = static_cast<int64_t>(table.inv_freq.size());
    return bound.backend_.Rope(
        {.x = Heads(op.x, op.head_dim),
         .positions = inputs.positions,
         .inv_freq = TensorView::Dense(bound.rope_tables_[op.table].get(), 0, {pairs}),
         .magnitude = table.magnitude,
         .adjacent_pairs = table.adjacent_pairs});
  }
  absl::Status operator()(const AttentionOp& op) const {
    const LayerKv& kv = inputs.layers[op.layer];
    const int64_t head_dim = kv.pool.head_dim;
    POTLUCK_RETURN_IF_ERROR(bound.backend_.KvWrite({.k = Heads(op.k, head_dim),
                                                    .v = Heads(op.v, head_dim),
                                                    .pool = kv.pool,
                                                    .index = kv.index}));
    return bound.backend_.Attention({.q = Heads(op.q, head_dim),
                                     .pool = kv.pool,
                                     .index = kv.index,
                                     .scale = op.scale,
                                     .softcap = op.softcap,
                                     .window = kv.window,
                                     .out = Heads(op.y, head_dim)});
  }
  absl::Status operator()(const GatedActivationOp& op) const {
    return bound.backend_.GatedActivation(
        {.gate = View(op.gate), .up = View(op.up), .function = op.function, .y = View(op.y)});
  }
  absl::Status operator()(const AddOp& op) const {
    return bound.backend_.Add({.a = View(op.a), .b = View(op.b), .y = View(op.y)});
  }
  absl::Status operator()(const ScaleOp& op) const {
    return bound.backend_.Scale({.x = View(op.x), .factor = op.factor});
  }
  absl::Status operator()(const SoftCapOp& op) const {
    return bound.backend_.SoftCap({.x = View(op.x), .cap = op.cap});
  }
  absl::Status operator()(const GatherRowsOp& op) const {
    return bound.backend_.GatherRows(
        {.x = View(op.x),
         .rows = node_rows == NodeRows::kOutputs ? inputs.output_rows : inputs.hidden_rows,
         .y = View(op.y)});
  }
  absl::Status operator()(const ExpertRouteOp& op) const {
    return bound.backend_.ExpertRoute({.logits = View(op.logits),
                                       .normalize = op.normalize,
                                       .experts = View(op.experts),
                                       .weights = View(op.weights)});
  }
  absl::Status operator()(const ExpertCombineOp& op) const {
    return bound.backend_.ExpertCombine(
        {.x = View(op.x), .weights = View(op.weights), .y = View(op.y)});
  }
};

absl::Status BoundGraph::Run(const GraphInputs& inputs) {
  const Symbols symbols{static_cast<int64_t>(inputs.positions.size()),
                        static_cast<int64_t>(inputs.output_rows.size()),
                        static_cast<int64_t>(inputs.hidden_rows.size())};
  if (symbols.tokens > largest_.tokens || symbols.outputs > largest_.outputs ||
      symbols.hidden_rows > largest_.hidden_rows) {
    return absl::InvalidArgumentError(
        absl::StrCat("a step of ", symbols.tokens, " tokens, ", symbols.outputs, " outputs and ",
                     symbols.hidden_rows, " hidden rows; the plan has room for ", largest_.tokens,
                     ", ", largest_.outputs, " and ", largest_.hidden_rows));
  }
  for (const Node& node : graph_.nodes) {
    if (node.IsLeftOut(symbols)) continue;
    if (inputs.cancelled != nullptr && *inputs.cancelled && (*inputs.cancelled)()) {
      POTLUCK_RETURN_IF_ERROR(backend_.Fence());
      return absl::CancelledError("stopped");
    }
    const Runner run{*this, inputs, symbols, node.rows};
    if (absl::Status status = std::visit(run, node.op); !status.ok())
      return Annotate(status, node.name);
  }
  return backend_.Fence();
}

}  // namespace potluck::model
