#include "model/graph/graph.h"

namespace potluck::model {
namespace {

struct UsesVisitor {
  ValueUses operator()(const EmbedOp& op) const { return {{}, {op.y}}; }
  ValueUses operator()(const RmsNormOp& op) const { return {{op.x}, {op.y}}; }
  ValueUses operator()(const MatMulOp& op) const { return Products({op.x}, op.products); }
  ValueUses operator()(const ExpertMatMulOp& op) const {
    return Products({op.x, op.experts}, op.products);
  }
  ValueUses operator()(const RopeOp& op) const { return {{op.x}, {op.x}}; }
  ValueUses operator()(const AttentionOp& op) const { return {{op.q, op.k, op.v}, {op.y}}; }
  ValueUses operator()(const GatedActivationOp& op) const { return {{op.gate, op.up}, {op.y}}; }
  ValueUses operator()(const AddOp& op) const { return {{op.a, op.b}, {op.y}}; }
  ValueUses operator()(const ScaleOp& op) const { return {{op.x}, {op.x}}; }
  ValueUses operator()(const SoftCapOp& op) const { return {{op.x}, {op.x}}; }
  ValueUses operator()(const GatherRowsOp& op) const { return {{op.x}, {op.y}}; }
  ValueUses operator()(const ExpertRouteOp& op) const {
    return {{op.logits}, {op.experts, op.weights}};
  }
  ValueUses operator()(const ExpertCombineOp& op) const { return {{op.x, op.weights}, {op.y}}; }

  static ValueUses Products(std::vector<ValueId> reads, const std::vector<ProductOp>& products) {
    ValueUses uses{std::move(reads), {}};
    for (const ProductOp& product : products) uses.writes.push_back(product.y);
    return uses;
  }
};

}  // namespace

ValueUses UsesOf(const Op& op) { return std::visit(UsesVisitor{}, op); }

}  // namespace potluck::model
