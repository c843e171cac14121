// A graph on a device: its weights loaded, its values laid out in one arena. Running it is a list
// of kernel calls.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "model/graph/graph.h"
#include "model/graph/memory_plan.h"
#include "model/weights.h"

namespace potluck::model {

// Where one layer keeps its keys and values, and where this step's tokens lie in it.
struct LayerKv {
  kernels::KvPoolView pool;
  const kernels::KvIndex* index = nullptr;
  int32_t window = 0;
};

// What one step brings. Sizes: T, but for `output_rows` (O), `hidden_rows` (P) and `layers` (the
// graph's).
struct GraphInputs {
  std::span<const int32_t> ids;  // for a graph that embeds; else `input()` holds the hidden rows
  std::span<const int32_t> positions;
  std::span<const int32_t> output_rows;  // rows of T whose logits are wanted
  std::span<const int32_t> hidden_rows;  // rows of T that are wanted after the last norm
  std::span<const LayerKv> layers;
  // Asked before each node; true ends the run with Cancelled. Null: nobody is asked.
  const std::function<bool()>* cancelled = nullptr;
};

// The tensors of the graph's weights, in its order. Reads no weight: a wrong file fails at once.
// Errors name the tensor: NotFound, a type that is not computed with, a shape other than the
// graph's.
absl::StatusOr<std::vector<const WeightTensor*>> FindWeights(const Graph& graph,
                                                             const WeightSource& source);

// What a tensor takes in its file, all experts together.
int64_t StoredBytes(const WeightTensor& tensor);

// Thread-compatible: one Run at a time.
class BoundGraph {
 public:
  struct Options {
    Symbols largest;  // the most that a step may have
    kernels::Precision precision = kernels::Precision::kInt8;
    // Called after each weight with the fraction of bytes loaded so far.
    std::function<void(double)> on_progress;
    // True stops the loading with Cancelled.
    std::function<bool()> cancelled;
  };

  // Loads every weight that the graph names from `source`, dropping the mapped pages behind it. The
  // backend must outlive the result. Errors name the tensor: NotFound, a shape other than the
  // config's, NaN or infinite values.
  static absl::StatusOr<std::unique_ptr<BoundGraph>> Bind(Graph graph, const WeightSource& source,
                                                          kernels::Backend& backend,
                                                          const Options& options);

  // Runs all nodes and waits for the device. T is the number of positions. InvalidArgument beyond
  // `largest`.
  absl::Status Run(const GraphInputs& inputs);

  // Valid between runs: the hidden rows to fill before a Run, and what the last Run made.
  kernels::TensorView input(int64_t tokens) const { return ViewOf(graph_.input, {tokens, 0, 0}); }
  kernels::TensorView hidden(int64_t tokens) const { return ViewOf(graph_.hidden, {tokens, 0, 0}); }
  kernels::TensorView final_hidden(int64_t rows) const {
    return ViewOf(graph_.final_hidden, {rows, 0, rows});
  }
  kernels::TensorView logits(int64_t outputs) const {
    return ViewOf(graph_.logits, {outputs, outputs, 0});
  }

  const Graph& graph() const { return graph_; }
  int64_t weight_bytes() const { return weight_bytes_; }
  int64_t arena_bytes() const { return plan_.arena_bytes; }

 private:
  BoundGraph(Graph graph, kernels::Backend& backend, const Options& options);

  struct Runner;
  absl::Status LoadWeights(const WeightSource& source, const Options& options);
  absl::Status LoadVectors(const WeightSource& source);
  absl::Status LoadRopeTables();
  kernels::TensorView ViewOf(ValueId value, const Symbols& symbols) const;

  Graph graph_;
  kernels::Backend& backend_;
  Symbols largest_;
  kernels::Precision precision_;
  MemoryPlan plan_;
  std::unique_ptr<kernels::Buffer> arena_;
  std::vector<std::unique_ptr<kernels::Weight>> weights_;
  std::vector<std::unique_ptr<kernels::Buffer>> vectors_;
  std::vector<std::unique_ptr<kernels::Buffer>> rope_tables_;
  // Reused by every product of a step, so that a step does not allocate.
  std::vector<kernels::Product> products_;
  int64_t weight_bytes_ = 0;
};

}  // namespace potluck::model
