// A small typed graph of a decoder: values with symbolic shapes, and operations on them in the
// order in which they run. One graph is run (bound_graph.h), cut into stages (model/decoder),
// planned (memory_plan.h) and, for training, differentiated. Operations name their weights; binding
// finds them.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "kernels/dtype.h"
#include "kernels/elementwise.h"
#include "model/graph/symbolic.h"

namespace potluck::model {

using ValueId = int32_t;
using WeightId = int32_t;
using VectorId = int32_t;
inline constexpr int32_t kNoId = -1;

// A result of an operation, or the graph's input. (rows, cols), rows symbolic; attention sees cols
// as (heads, Dh).
struct Value {
  std::string name;
  Expression rows;
  int64_t cols = 0;
  kernels::DType dtype = kernels::DType::kF32;

  Expression elements() const { return rows * cols; }
};

// A matrix (out, in) or a stack of them, used in its stored form.
struct WeightSpec {
  std::string name;
  int64_t num_experts = 0;  // 0: a matrix
  int64_t rows = 0;
  int64_t cols = 0;
};

// A gain or a bias: f32, `added` put on every element at load.
struct VectorSpec {
  std::string name;
  int64_t size = 0;
  float added = 0;
};

// Table of inverse frequencies, made by the builder of the graph (model/decoder/rope_table.h).
struct RopeTable {
  std::vector<float> inv_freq;
  float magnitude = 1;
  bool adjacent_pairs = false;
};

struct EmbedOp {
  WeightId weight;
  float scale;
  ValueId y;
};
struct RmsNormOp {
  ValueId x;
  VectorId gain;
  float eps;
  int64_t row_size;  // model_dim, or head_dim for norms of heads
  ValueId y;
};
struct ProductOp {  // one of a group that shares its input
  WeightId weight;
  VectorId bias;  // or kNoId
  ValueId y;
};
struct MatMulOp {
  ValueId x;
  std::vector<ProductOp> products;
};
struct ExpertMatMulOp {
  ValueId x;
  ValueId experts;
  std::vector<ProductOp> products;
};
struct RopeOp {
  ValueId x;
  int32_t table;  // index into Graph::rope_tables
  int64_t head_dim;
};
struct AttentionOp {
  ValueId q;
  ValueId k, v;  // written to the layer's KV first
  int64_t layer;
  float scale;
  float softcap;
  ValueId y;
};
struct GatedActivationOp {
  ValueId gate, up;
  kernels::GateFunction function;
  ValueId y;
};
struct AddOp {
  ValueId a, b, y;
};
struct ScaleOp {
  ValueId x;
  float factor;
};
struct SoftCapOp {
  ValueId x;
  float cap;
};
struct GatherRowsOp {  // the O rows whose logits are wanted, or the P rows that are
  ValueId x, y;
};
struct ExpertRouteOp {
  ValueId logits;
  bool normalize;
  ValueId experts, weights;
};
struct ExpertCombineOp {
  ValueId x, weights, y;
};

using Op = std::variant<EmbedOp, RmsNormOp, MatMulOp, ExpertMatMulOp, RopeOp, AttentionOp,
                        GatedActivationOp, AddOp, ScaleOp, SoftCapOp, GatherRowsOp, ExpertRouteOp,
                        ExpertCombineOp>;

// The rows that a node works on; it is left out where a step has none of them.
enum class NodeRows : uint8_t { kTokens, kOutputs, kHiddenRows };

struct Node {
  std::string name;  // "blk.3.attn_qkv": what a trace shows
  Op op;
  NodeRows rows = NodeRows::kTokens;

  bool IsLeftOut(const Symbols& symbols) const {
    return (rows == NodeRows::kOutputs && symbols.outputs == 0) ||
           (rows == NodeRows::kHiddenRows && symbols.hidden_rows == 0);
  }
};

struct Graph {
  std::vector<Value> values;
  std::vector<Node> nodes;
  std::vector<WeightSpec> weights;
  std::vector<VectorSpec> vectors;
  std::vector<RopeTable> rope_tables;
  ValueId input = kNoId;   // hidden rows from the stage before; kNoId where the graph embeds tokens
  ValueId hidden = kNoId;  // (T, D), the residual stream after the last layer of this graph
  // After the last norm: rows that are wanted themselves (P, D), and the logits (O, V) of others.
  // kNoId where the graph has no head.
  ValueId final_hidden = kNoId;
  ValueId logits = kNoId;
};

// The values that a node reads and writes. In-place operations do both with one.
struct ValueUses {
  std::vector<ValueId> reads, writes;
};
ValueUses UsesOf(const Op& op);

}  // namespace potluck::model
