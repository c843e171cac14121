#include "model/fused_weights.h"

#include <charconv>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

namespace potluck::model {
namespace {

struct Part {
  const char* name;
  int64_t rows;
};

// "blk.3.attn_qkv.weight" with `fused` "attn_qkv" becomes "blk.3." and ".weight".
struct SplitName {
  std::string prefix, suffix;
};

std::optional<SplitName> MatchName(const std::string& name, std::string_view fused) {
  if (!name.starts_with("blk.")) return std::nullopt;
  const size_t dot = name.find('.', 4);
  if (dot == std::string::npos || name.compare(dot + 1, fused.size(), fused) != 0) {
    return std::nullopt;
  }
  const size_t end = dot + 1 + fused.size();
  if (name.compare(end, std::string::npos, ".weight") != 0 &&
      name.compare(end, std::string::npos, ".bias") != 0) {
    return std::nullopt;
  }
  return SplitName{name.substr(0, dot + 1), name.substr(end)};
}

// A matrix or a bias by its rows.
bool SplitRows(const WeightTensor& fused, const SplitName& name, std::vector<Part> parts,
               std::vector<WeightTensor>& result) {
  int64_t rows = 0;
  for (const Part& part : parts) rows += part.rows;
  const bool is_bias = name.suffix == ".bias";
  if (rows <= 0 || fused.shape.size() != (is_bias ? 1u : 2u) || fused.shape[0] != rows)
    return false;
  // A bias in blocks can't be cut between values.
  if (is_bias && kernels::Traits(fused.dtype).block_values != 1) return false;
  const size_t row_bytes = fused.bytes.size() / rows;
  size_t start = 0;
  for (const Part& part : parts) {
    WeightTensor tensor = fused;
    tensor.name = name.prefix + part.name + name.suffix;
    tensor.shape[0] = part.rows;
    tensor.bytes = fused.bytes.subspan(start, part.rows * row_bytes);
    start += tensor.bytes.size();
    result.push_back(std::move(tensor));
  }
  return true;
}

// (experts, 2 * rows, in): every expert's gate lies before its up.
bool SplitStack(const WeightTensor& fused, const SplitName& name, const ExpertConfig& experts,
                std::vector<WeightTensor>& result) {
  if (fused.shape.size() != 3 || fused.shape[0] != experts.num_experts ||
      fused.shape[1] != 2 * experts.expert_ffn_dim) {
    return false;
  }
  const size_t half_bytes = fused.bytes.size() / experts.num_experts / 2;
  int half = 0;
  for (const char* part : {"ffn_gate_exps", "ffn_up_exps"}) {
    WeightTensor tensor;
    tensor.name = name.prefix + part + name.suffix;
    tensor.dtype = fused.dtype;
    tensor.shape = {fused.shape[0], experts.expert_ffn_dim, fused.shape[2]};
    for (int64_t e = 0; e < experts.num_experts; ++e) {
      tensor.experts.push_back(
          {fused.bytes.subspan((2 * e + half) * half_bytes, half_bytes), fused.file});
    }
    result.push_back(std::move(tensor));
    ++half;
  }
  return true;
}

struct ExpertName {
  std::string stack;  // "blk.3.ffn_gate_exps.weight"
  int64_t expert;
};

// "blk.3.ffn_gate.5.weight"
std::optional<ExpertName> MatchExpert(const std::string& name) {
  constexpr std::string_view kSuffix = ".weight";
  if (!name.starts_with("blk.") || !name.ends_with(kSuffix)) return std::nullopt;
  const std::string_view stem = std::string_view(name).substr(0, name.size() - kSuffix.size());
  const size_t dot = stem.rfind('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const std::string_view base = stem.substr(0, dot);
  if (!base.ends_with(".ffn_gate") && !base.ends_with(".ffn_up") && !base.ends_with(".ffn_down")) {
    return std::nullopt;
  }
  int64_t expert = 0;
  const std::string_view digits = stem.substr(dot + 1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), expert);
  if (error != std::errc() || end != digits.data() + digits.size() || expert < 0) {
    return std::nullopt;
  }
  return ExpertName{std::string(base) + "_exps" + std::string(kSuffix), expert};
}

// The stack of `members` (by expert), or nothing where one is missing or unlike the others.
std::optional<WeightTensor> MakeStack(const std::string& name, int64_t num_experts,
                                      const std::map<int64_t, const WeightTensor*>& members) {
  if (static_cast<int64_t>(members.size()) != num_experts) return std::nullopt;
  const WeightTensor& first = *members.begin()->second;
  if (first.shape.size() != 2) return std::nullopt;
  WeightTensor stack;
  stack.name = name;
  stack.dtype = first.dtype;
  stack.shape = {num_experts, first.shape[0], first.shape[1]};
  for (const auto& [expert, member] : members) {
    if (member->shape != first.shape || member->dtype != first.dtype) return std::nullopt;
    stack.experts.push_back({member->bytes, member->file});
  }
  return stack;
}

// Experts in tensors of their own become one stack per matrix. An incomplete or uneven set stays as
// it is.
void StackExperts(int64_t num_experts, std::vector<WeightTensor>& tensors) {
  std::map<std::string, std::map<int64_t, const WeightTensor*>> stacks;
  for (const WeightTensor& tensor : tensors) {
    const std::optional<ExpertName> name = MatchExpert(tensor.name);
    if (name && name->expert < num_experts) stacks[name->stack][name->expert] = &tensor;
  }
  std::vector<WeightTensor> result;
  std::unordered_set<std::string_view> stacked;
  for (const auto& [name, members] : stacks) {
    std::optional<WeightTensor> stack = MakeStack(name, num_experts, members);
    if (!stack) continue;
    result.push_back(*std::move(stack));
    for (const auto& [expert, member] : members) stacked.insert(member->name);
  }
  for (const WeightTensor& tensor : tensors) {
    if (!stacked.contains(tensor.name)) result.push_back(tensor);
  }
  tensors = std::move(result);
}

}  // namespace

void SplitFusedWeights(const ModelConfig& config, std::vector<WeightTensor>& tensors) {
  if (config.experts.num_experts > 0) StackExperts(config.experts.num_experts, tensors);
  std::unordered_set<std::string> names;
  for (const WeightTensor& tensor : tensors) names.insert(tensor.name);
  const int64_t q_rows = config.num_heads * config.head_dim;
  const int64_t kv_rows = config.num_kv_heads * config.head_dim;
  std::vector<WeightTensor> result;
  result.reserve(tensors.size());
  for (const WeightTensor& tensor : tensors) {
    bool split = false;
    if (const auto qkv = MatchName(tensor.name, "attn_qkv")) {
      split = SplitRows(tensor, *qkv,
                        {{"attn_q", q_rows}, {"attn_k", kv_rows}, {"attn_v", kv_rows}}, result);
    } else if (const auto up = MatchName(tensor.name, "ffn_up");
               up && !names.contains(up->prefix + "ffn_gate" + up->suffix)) {
      split = SplitRows(tensor, *up, {{"ffn_gate", config.ffn_dim}, {"ffn_up", config.ffn_dim}},
                        result);
    } else if (const auto stack = MatchName(tensor.name, "ffn_gate_up_exps")) {
      split = SplitStack(tensor, *stack, config.experts, result);
    }
    if (!split) result.push_back(tensor);
  }
  tensors = std::move(result);
}

}  // namespace potluck::model
