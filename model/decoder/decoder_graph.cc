#include "model/decoder/decoder_graph.h"

#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "model/decoder/rope_table.h"

namespace potluck::model {
namespace {

kernels::GateFunction GateOf(Activation activation) {
  switch (activation) {
    case Activation::kGeluTanh:
      return kernels::GateFunction::kGeluTanh;
    case Activation::kGeluErf:
      return kernels::GateFunction::kGeluErf;
    case Activation::kSilu:
      break;
  }
  return kernels::GateFunction::kSilu;
}

class DecoderBuilder {
 public:
  DecoderBuilder(const ModelConfig& config, const WeightSource& source, int64_t context_length)
      : config_(config), source_(source), context_length_(context_length) {}

  absl::StatusOr<DecoderGraph> Build(const StageRange& range) {
    ValueId x = range.first_cut == 0 ? Embed() : Input();
    for (int64_t cut = range.first_cut; cut < range.last_cut; ++cut) {
      layer_ = cut / 2;
      if (cut % 2 == 0) {
        POTLUCK_RETURN_IF_ERROR(Attention(x));
      } else {
        FeedForward(x);
      }
    }
    graph().hidden = x;
    if (range.last_cut == 2 * config_.num_layers) Head(x);
    return std::move(decoder_);
  }

 private:
  ValueId Input() { return graph().input = NewValue("input", Rows(), config_.model_dim); }

  ValueId Embed() {
    const ValueId x = NewValue("embedding", Rows(), config_.model_dim);
    Emit("token_embd", EmbedOp{EmbeddingWeight(), config_.embedding_scale, x});
    return x;
  }

  // x += post_norm(W_o attention(rope(q), rope(k), v)), with q, k, v = W norm(x)
  absl::Status Attention(ValueId x) {
    const int64_t q_dim = config_.num_heads * config_.head_dim;
    const int64_t kv_dim = config_.num_kv_heads * config_.head_dim;
    const ValueId h = config_.pre_norms ? Norm("attn_norm", x) : x;
    const ValueId q = NewValue("q", Rows(), q_dim);
    const ValueId k = NewValue("k", Rows(), kv_dim);
    const ValueId v = NewValue("v", Rows(), kv_dim);
    const bool bias = config_.attention_bias;
    Emit(Name("attn_qkv"),
         MatMulOp{h,
                  {Product("attn_q", q, q_dim, h, bias), Product("attn_k", k, kv_dim, h, bias),
                   Product("attn_v", v, kv_dim, h, bias)}});
    if (config_.qk_norm) {
      HeadNorm("attn_q_norm", q);
      HeadNorm("attn_k_norm", k);
    }
    POTLUCK_ASSIGN_OR_RETURN(const int32_t table, RopeTableOf(config_.layers[layer_]));
    Emit(Name("rope_q"), RopeOp{q, table, config_.head_dim});
    Emit(Name("rope_k"), RopeOp{k, table, config_.head_dim});
    const ValueId mixed = NewValue("attention", Rows(), q_dim);
    const auto local_layer = static_cast<int64_t>(decoder_.attention_layers.size());
    decoder_.attention_layers.push_back(layer_);
    Emit(Name("attn"), AttentionOp{q, k, v, local_layer, config_.attention_scale,
                                   config_.attention_softcap, mixed});
    const ValueId out =
        Project("attn_output", mixed, config_.model_dim, config_.attention_output_bias);
    AddToResidual("post_attention_norm", x, out);
    return absl::OkStatus();
  }

  // x += post_norm(W_down(act(W_gate h) * W_up h)), h = norm(x), or the same of the chosen experts
  void FeedForward(ValueId x) {
    const ValueId h = config_.pre_norms ? Norm("ffn_norm", x) : x;
    const ValueId out = config_.experts.num_experts > 0 ? Experts(h) : DenseFeedForward(h);
    AddToResidual("post_ffw_norm", x, out);
  }

  ValueId DenseFeedForward(ValueId h) {
    const int64_t ffn_dim = config_.ffn_dim;
    const ValueId gate = NewValue("gate", Rows(), ffn_dim);
    const ValueId up = NewValue("up", Rows(), ffn_dim);
    Emit(Name("ffn_gate_up"), MatMulOp{h,
                                       {Product("ffn_gate", gate, ffn_dim, h, config_.ffn_bias),
                                        Product("ffn_up", up, ffn_dim, h, config_.ffn_bias)}});
    Emit(Name("ffn_act"), GatedActivationOp{gate, up, GateOf(config_.activation), gate});
    return Project("ffn_down", gate, config_.model_dim, config_.ffn_bias);
  }

  // Each token goes through its best experts; their outputs are summed by the router's weights.
  ValueId Experts(ValueId h) {
    const ExpertConfig& experts = config_.experts;
    const Expression chosen_rows = Expression::Tokens(experts.num_experts_used);
    const ValueId logits = Project("ffn_gate_inp", h, experts.num_experts, /*bias=*/false);
    const ValueId chosen =
        NewValue("experts", Rows(), experts.num_experts_used, kernels::DType::kI32);
    const ValueId weights = NewValue("expert_weights", Rows(), experts.num_experts_used);
    Emit(Name("ffn_route"), ExpertRouteOp{logits, experts.normalize_weights, chosen, weights});
    const ValueId gate = NewValue("expert_gate", chosen_rows, experts.expert_ffn_dim);
    const ValueId up = NewValue("expert_up", chosen_rows, experts.expert_ffn_dim);
    Emit(Name("ffn_gate_up_exps"), ExpertMatMulOp{h,
                                                  chosen,
                                                  {ExpertProduct("ffn_gate_exps", gate, h),
                                                   ExpertProduct("ffn_up_exps", up, h)}});
    Emit(Name("ffn_act"), GatedActivationOp{gate, up, GateOf(config_.activation), gate});
    const ValueId down = NewValue("expert_down", chosen_rows, config_.model_dim);
    Emit(Name("ffn_down_exps"),
         ExpertMatMulOp{gate, chosen, {ExpertProduct("ffn_down_exps", down, gate)}});
    const ValueId out = NewValue("ffn_out", Rows(), config_.model_dim);
    Emit(Name("ffn_combine"), ExpertCombineOp{down, weights, out});
    return out;
  }

  // Of the wanted rows alone, logits or, after the norm, themselves.
  void Head(ValueId x) {
    const VectorId gain = Vector("output_norm.weight", config_.model_dim, GainOffset());
    node_rows_ = NodeRows::kHiddenRows;
    graph().final_hidden = NormedRows("hidden", x, Expression::HiddenRows(), gain);
    node_rows_ = NodeRows::kOutputs;
    const ValueId rows = NormedRows("output", x, Expression::Outputs(), gain);
    const ValueId logits = NewValue("logits", Expression::Outputs(), config_.vocab_size);
    const WeightId head = config_.tied_embeddings
                              ? EmbeddingWeight()
                              : Weight("output.weight", 0, config_.vocab_size, config_.model_dim);
    Emit("output", MatMulOp{rows, {{head, kNoId, logits}}});
    if (config_.logit_scale != 1) Emit("output_scale", ScaleOp{logits, config_.logit_scale});
    if (config_.logit_softcap > 0) Emit("output_softcap", SoftCapOp{logits, config_.logit_softcap});
    graph().logits = logits;
  }

  ValueId NormedRows(const std::string& name, ValueId x, Expression wanted, VectorId gain) {
    const ValueId rows = NewValue("wanted_rows", wanted, config_.model_dim);
    Emit(name + "_rows", GatherRowsOp{x, rows});
    Emit(name + "_norm", RmsNormOp{rows, gain, config_.norm_eps, config_.model_dim, rows});
    return rows;
  }

  ValueId Norm(const char* part, ValueId x) {
    const ValueId y = NewValue(part, Rows(), config_.model_dim);
    Emit(Name(part),
         RmsNormOp{x, LayerGain(part, config_.model_dim), config_.norm_eps, config_.model_dim, y});
    return y;
  }
  void HeadNorm(const char* part, ValueId x) {
    Emit(Name(part),
         RmsNormOp{x, LayerGain(part, config_.head_dim), config_.norm_eps, config_.head_dim, x});
  }
  void AddToResidual(const char* post_norm, ValueId x, ValueId out) {
    if (config_.post_norms) {
      Emit(Name(post_norm), RmsNormOp{out, LayerGain(post_norm, config_.model_dim),
                                      config_.norm_eps, config_.model_dim, out});
    }
    Emit(Name("residual"), AddOp{x, out, x});
  }
  ValueId Project(const char* part, ValueId x, int64_t out_dim, bool bias) {
    const ValueId y = NewValue(part, Rows(), out_dim);
    Emit(Name(part), MatMulOp{x, {Product(part, y, out_dim, x, bias)}});
    return y;
  }

  ProductOp Product(const char* part, ValueId y, int64_t out_dim, ValueId x, bool bias) {
    const WeightId weight = Weight(Name(part) + ".weight", 0, out_dim, graph().values[x].cols);
    return {weight, bias ? Vector(Name(part) + ".bias", out_dim, 0) : kNoId, y};
  }
  ProductOp ExpertProduct(const char* part, ValueId y, ValueId x) {
    const Graph& built = graph();
    return {Weight(Name(part) + ".weight", config_.experts.num_experts, built.values[y].cols,
                   built.values[x].cols),
            kNoId, y};
  }
  // Held once, also where the head uses it, too.
  WeightId EmbeddingWeight() {
    if (embedding_ == kNoId)
      embedding_ = Weight("token_embd.weight", 0, config_.vocab_size, config_.model_dim);
    return embedding_;
  }
  VectorId LayerGain(const char* part, int64_t size) {
    return Vector(Name(part) + ".weight", size, GainOffset());
  }
  float GainOffset() const { return config_.norm_adds_one ? 1.0f : 0.0f; }

  WeightId Weight(std::string name, int64_t num_experts, int64_t rows, int64_t cols) {
    graph().weights.push_back({std::move(name), num_experts, rows, cols});
    return static_cast<WeightId>(graph().weights.size() - 1);
  }
  VectorId Vector(std::string name, int64_t size, float added) {
    graph().vectors.push_back({std::move(name), size, added});
    return static_cast<VectorId>(graph().vectors.size() - 1);
  }
  // Layers of the same base and scaling share a table.
  absl::StatusOr<int32_t> RopeTableOf(const LayerConfig& layer) {
    const auto key = std::make_pair(layer.rope_theta, layer.scale_rope);
    if (const auto found = rope_table_of_.find(key); found != rope_table_of_.end())
      return found->second;
    POTLUCK_ASSIGN_OR_RETURN(RopeTable table,
                             MakeRopeTable(config_, layer, source_, context_length_));
    graph().rope_tables.push_back(std::move(table));
    return rope_table_of_[key] = static_cast<int32_t>(graph().rope_tables.size() - 1);
  }

  static Expression Rows() { return Expression::Tokens(); }
  std::string Name(const char* part) const { return absl::StrCat("blk.", layer_, ".", part); }
  ValueId NewValue(const char* name, Expression rows, int64_t cols,
                   kernels::DType dtype = kernels::DType::kF32) {
    graph().values.push_back({name, rows, cols, dtype});
    return static_cast<ValueId>(graph().values.size() - 1);
  }
  void Emit(std::string name, Op op) {
    graph().nodes.push_back({std::move(name), std::move(op), node_rows_});
  }
  Graph& graph() { return decoder_.graph; }

  const ModelConfig& config_;
  const WeightSource& source_;
  const int64_t context_length_;
  DecoderGraph decoder_;
  int64_t layer_ = 0;
  WeightId embedding_ = kNoId;
  NodeRows node_rows_ = NodeRows::kTokens;
  std::map<std::pair<float, bool>, int32_t> rope_table_of_;
};

}  // namespace

absl::StatusOr<DecoderGraph> BuildDecoder(const ModelConfig& config, const StageRange& range,
                                          const WeightSource& source, int64_t context_length) {
  if (range.first_cut < 0 || range.first_cut >= range.last_cut ||
      range.last_cut > 2 * config.num_layers) {
    return absl::InvalidArgumentError(absl::StrCat("cut points ", range.first_cut, " to ",
                                                   range.last_cut, " of a model that has 0 to ",
                                                   2 * config.num_layers));
  }
  if (range.shard != 0 || range.num_shards != 1) {
    return absl::UnimplementedError(
        absl::StrCat("shard ", range.shard, " of ", range.num_shards, ": a stage is one device's"));
  }
  return DecoderBuilder(config, source, context_length).Build(range);
}

}  // namespace potluck::model
