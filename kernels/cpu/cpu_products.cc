// Products on the CPU. The rows of x are quantised once per call; then threads take groups of
// panels. A group's weights come from memory once and stay in the cache for all rows of x.
#include <algorithm>
#include <atomic>
#include <bit>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/panel.h"
#include "kernels/cpu/product_kernels.h"
#include "kernels/formats/decode.h"
#include "kernels/formats/integer_block.h"
#include "kernels/host_buffer.h"

namespace potluck::kernels {
namespace {

constexpr int kMaxGroupPanels = 4;
constexpr int64_t kMaxGroupBytes = 256 << 10;  // of weights that stay in a core's cache

// What these take one core, about.
constexpr double kMultiplyNanoseconds = 0.1;  // a multiply-add
constexpr double kQuantizeNanoseconds = 0.5;  // a value of x
constexpr double kDecodeNanoseconds = 1.5;    // a stored value
constexpr double kPackNanoseconds = 3;        // a stored value, while loading

class CpuWeight final : public Weight {
 public:
  CpuWeight(const WeightData& data, std::unique_ptr<Buffer> panels)
      : Weight(data), panels_(std::move(panels)) {}

  static int64_t PanelsOf(int64_t rows) { return (rows + kPanelRows - 1) / kPanelRows; }
  int64_t panels_per_expert() const { return PanelsOf(rows()); }
  int64_t panel_bytes() const { return PanelBytes(dtype(), cols()); }
  const uint8_t* Panel(int64_t expert, int64_t panel) const {
    return reinterpret_cast<const uint8_t*>(panels_->host()) +
           (expert * panels_per_expert() + panel) * panel_bytes();
  }

 private:
  std::unique_ptr<Buffer> panels_;  // (experts, panels)
};

const CpuWeight& WeightOf(const Product& product) {
  return static_cast<const CpuWeight&>(*product.weight);
}

int64_t AlignUp(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// Rows of x in the forms that the products of one call read.
struct InputRows {
  const TensorView* x = nullptr;
  const uint8_t* quantized_32 = nullptr;
  const uint8_t* quantized_256 = nullptr;

  const uint8_t* Row(DType dtype, Precision precision, int64_t row) const {
    const int64_t in_dim = x->shape[1];
    if (!IsQuantized(dtype) || precision == Precision::kFloat) {
      return reinterpret_cast<const uint8_t*>(FloatRow(*x, row));
    }
    const int values = Traits(dtype).block_values;
    return (values == 32 ? quantized_32 : quantized_256) + row * QuantizedRowBytes(in_dim, values);
  }
};

// The rows of y that one expert's weights make: order[begin, end), each from row order[i] / divisor
// of x. Without an order: row i from row i.
struct RowList {
  const int32_t* order = nullptr;
  int64_t begin = 0, end = 0;
  int64_t divisor = 1;

  int64_t Output(int64_t i) const { return order == nullptr ? i : order[i]; }
  int64_t Input(int64_t i) const { return Output(i) / divisor; }
};

struct PanelGroup {
  const Product* product;
  int64_t expert, first_panel, num_panels;
};

// Decodes a quantised panel block by block, for float activations.
void RunDecoded(const ProductKernels& kernels, DType dtype, const PanelCall& call) {
  alignas(64) float tile[kMaxBlockValues * kPanelRows];
  const int values = Traits(dtype).block_values;
  for (int p = 0; p < call.num_panels; ++p) {
    PanelCall block = call;
    block.panels = reinterpret_cast<const uint8_t*>(tile);
    block.num_panels = 1;
    block.in_dim = values;
    block.out = call.out + p;
    for (int64_t b = 0; b < call.in_dim / values; ++b) {
      DecodePanelBlock(dtype, call.panels + p * call.panel_bytes + b * PanelBlockBytesOf(dtype),
                       tile);
      block.accumulate = b > 0;
      kernels.floats[static_cast<int>(DType::kF32)](block);
      for (int i = 0; i < call.num_tokens; ++i) block.rows[i] += values * sizeof(float);
    }
  }
}

void RunPanels(const ProductKernels& kernels, DType dtype, Precision precision,
               const PanelCall& call) {
  if (!IsQuantized(dtype)) {
    kernels.floats[static_cast<int>(dtype)](call);
  } else if (precision == Precision::kFloat) {
    RunDecoded(kernels, dtype, call);
  } else {
    kernels.quantized[static_cast<int>(dtype) - static_cast<int>(DType::kQ4_0)](call);
  }
}

// Adds what comes after the sum over k, and stores outputs [n, n + count) of row `row` of y. `down`
// holds A x for each row.
void Finish(const ProductKernels& kernels, const Product& product, const float* down,
            int64_t down_stride, int64_t row, int64_t n, int64_t count, float* sums) {
  const auto& slots = product.adapters.token_slot;
  if (!slots.empty() && slots[row] > 0) {
    const LowRank& adapter = product.adapters.adapters[slots[row] - 1];
    float addend[kPanelRows];
    kernels.dot_rows(down + row * down_stride, FloatRow(adapter.b, n), adapter.b.strides[0], count,
                     adapter.b.shape[1], addend);
    for (int64_t i = 0; i < count; ++i) sums[i] += adapter.scale * addend[i];
  }
  if (product.bias.rank != 0) {
    const float* bias = product.bias.host<float>() + n;
    for (int64_t i = 0; i < count; ++i) sums[i] += bias[i];
  }
  std::copy_n(sums, count, FloatRow(product.y, row) + n);
}

struct ProductRun {
  const ProductKernels& kernels;
  InputRows input;
  Precision precision;
  const float* down = nullptr;  // A x of the rows that have an adapter
  int64_t down_stride = 0;

  void Run(const PanelGroup& group, const RowList& rows) const {
    const CpuWeight& weight = WeightOf(*group.product);
    alignas(64) float out[kMaxGroupPanels][kTokenTile][kPanelRows];
    PanelCall call = {};
    call.panels = weight.Panel(group.expert, group.first_panel);
    call.panel_bytes = weight.panel_bytes();
    call.num_panels = static_cast<int>(group.num_panels);
    call.in_dim = weight.cols();
    call.out = out;
    for (int64_t i = rows.begin; i < rows.end; i += kTokenTile) {
      call.num_tokens = static_cast<int>(std::min<int64_t>(kTokenTile, rows.end - i));
      for (int t = 0; t < call.num_tokens; ++t) {
        call.rows[t] = input.Row(weight.dtype(), precision, rows.Input(i + t));
      }
      RunPanels(kernels, weight.dtype(), precision, call);
      for (int p = 0; p < call.num_panels; ++p) {
        const int64_t n = (group.first_panel + p) * kPanelRows;
        const int64_t count = std::min<int64_t>(kPanelRows, weight.rows() - n);
        for (int t = 0; t < call.num_tokens; ++t) {
          Finish(kernels, *group.product, down, down_stride, rows.Output(i + t), n, count,
                 out[p][t]);
        }
      }
    }
  }
};

// How many panels a thread takes at a time: few enough to stay in its cache and to leave work for
// the others, more than one so that a row of x is fetched less often.
int64_t GroupPanels(const CpuWeight& weight, int num_threads) {
  const int64_t by_cache = kMaxGroupBytes / weight.panel_bytes();
  const int64_t by_threads = weight.panels_per_expert() / (4 * num_threads);
  return std::clamp<int64_t>(std::min(by_cache, by_threads), 1, kMaxGroupPanels);
}

int64_t NumGroups(const CpuWeight& weight, int num_threads) {
  const int64_t panels = GroupPanels(weight, num_threads);
  return (weight.panels_per_expert() + panels - 1) / panels;
}

// The group numbered `index` among those of all products of one expert.
PanelGroup FindGroup(std::span<const Product> products, int num_threads, int64_t expert,
                     int64_t index) {
  size_t i = 0;
  for (; index >= NumGroups(WeightOf(products[i]), num_threads); ++i) {
    index -= NumGroups(WeightOf(products[i]), num_threads);
  }
  const CpuWeight& weight = WeightOf(products[i]);
  const int64_t panels = GroupPanels(weight, num_threads);
  const int64_t first = index * panels;
  return {&products[i], expert, first, std::min(panels, weight.panels_per_expert() - first)};
}

int64_t CountGroups(std::span<const Product> products, int num_threads) {
  int64_t count = 0;
  for (const Product& product : products) count += NumGroups(WeightOf(product), num_threads);
  return count;
}

// What the products of `rows` rows of x take one core.
double Nanoseconds(std::span<const Product> products, int64_t rows) {
  double values = 0;
  for (const Product& product : products) {
    values += static_cast<double>(product.weight->rows()) * product.weight->cols();
  }
  return kMultiplyNanoseconds * values * rows;
}

bool HasAdapters(const Product& product) {
  return std::ranges::any_of(product.adapters.token_slot, [](uint16_t slot) { return slot > 0; });
}

int64_t MaxRank(const Product& product) {
  int64_t rank = 0;
  for (const LowRank& adapter : product.adapters.adapters) {
    rank = std::max(rank, adapter.a.shape[0]);
  }
  return rank;
}

// Bytes of scratch for `rows` rows of K values in blocks of 32 and of 256 values.
int64_t QuantizedBytes(int64_t rows, int64_t in_dim, bool blocks_32, bool blocks_256) {
  return rows * ((blocks_32 ? QuantizedRowBytes(in_dim, 32) : 0) +
                 (blocks_256 ? QuantizedRowBytes(in_dim, 256) : 0));
}

absl::Status CheckScratch(std::string_view what, int64_t needed_bytes, size_t reserved_bytes) {
  if (needed_bytes <= static_cast<int64_t>(reserved_bytes)) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(ToAbsl(what), " needs ", needed_bytes,
                                                    " bytes of scratch, ", reserved_bytes,
                                                    " are reserved: call Reserve() first"));
}

}  // namespace

absl::Status CpuBackend::ReserveProductScratch(const StepLimits& limits) {
  const int64_t rows = limits.max_tokens * std::max<int64_t>(1, limits.max_experts_used);
  const int64_t bytes = QuantizedBytes(rows, limits.max_input_dim, true, true) +
                        AlignUp(rows * sizeof(int32_t)) +
                        AlignUp(limits.max_tokens * limits.max_lora_rank * sizeof(float));
  if (product_scratch_ != nullptr && product_scratch_->size_bytes() >= bytes) {
    return absl::OkStatus();
  }
  product_scratch_.reset();
  POTLUCK_ASSIGN_OR_RETURN(product_scratch_, AllocateHostBuffer(bytes, "products' inputs"));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Weight>> CpuBackend::LoadWeight(const WeightData& data) {
  POTLUCK_RETURN_IF_ERROR(CheckWeightShape(data));
  const int64_t panels = CpuWeight::PanelsOf(data.rows);
  const int64_t panel_bytes = PanelBytes(data.dtype, data.cols);
  POTLUCK_ASSIGN_OR_RETURN(auto buffer,
                           AllocateHostBuffer(data.num_experts * panels * panel_bytes, data.name));
  uint8_t* to = reinterpret_cast<uint8_t*>(buffer->host());
  const int64_t row_bytes = BytesOf(data.dtype, data.cols);
  std::atomic<int64_t> first_bad = std::numeric_limits<int64_t>::max();
  const double panel_nanoseconds = kPackNanoseconds * static_cast<double>(kPanelRows * data.cols);
  threads_.For(data.num_experts * panels, panel_nanoseconds, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = i % panels * kPanelRows;
      const int64_t count = std::min<int64_t>(kPanelRows, data.rows - row);
      const auto rows = data.parts[i / panels].subspan(row * row_bytes, count * row_bytes);
      if (FindNonFinite(data.dtype, rows).has_value()) {
        int64_t seen = first_bad.load();
        while (i < seen && !first_bad.compare_exchange_weak(seen, i)) {
        }
        return;
      }
      PackPanel(data.dtype, rows.data(), static_cast<int>(count), data.cols, to + i * panel_bytes);
    }
  });
  if (const int64_t bad = first_bad.load(); bad < data.num_experts * panels) {
    const int64_t row = bad % panels * kPanelRows;
    return CheckWeightRows(data, bad / panels, row, std::min<int64_t>(kPanelRows, data.rows - row));
  }
  expert_begin_.resize(std::max<size_t>(expert_begin_.size(), data.num_experts + 1));
  active_experts_.resize(std::max<size_t>(active_experts_.size(), data.num_experts));
  return std::make_unique<CpuWeight>(data, std::move(buffer));
}

absl::Status CpuBackend::Embed(const EmbedArgs& args) {
  POTLUCK_RETURN_IF_ERROR(Validate(args));
  const auto& weight = static_cast<const CpuWeight&>(*args.weight);
  const double row_nanoseconds = kDecodeNanoseconds * weight.cols();
  threads_.For(args.ids.size(), row_nanoseconds, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      float* y = FloatRow(args.y, t);
      DecodePanelRow(weight.dtype(), weight.Panel(0, args.ids[t] / kPanelRows),
                     args.ids[t] % kPanelRows, weight.cols(), y);
      if (args.scale == 1) continue;
      for (int64_t d = 0; d < weight.cols(); ++d) y[d] *= args.scale;
    }
  });
  return absl::OkStatus();
}

absl::StatusOr<CpuBackend::QuantizedInput> CpuBackend::QuantizeInput(
    const TensorView& x, std::span<const Product> products, Precision precision) {
  bool blocks_32 = false, blocks_256 = false;
  for (const Product& product : products) {
    if (precision == Precision::kFloat || !IsQuantized(product.weight->dtype())) continue;
    const int values = Traits(product.weight->dtype()).block_values;
    (values == 32 ? blocks_32 : blocks_256) = true;
  }
  const int64_t rows = x.shape[0], in_dim = x.shape[1];
  const int64_t bytes = QuantizedBytes(rows, in_dim, blocks_32, blocks_256);
  std::span<std::byte> scratch;
  if (product_scratch_ != nullptr) {
    scratch = {product_scratch_->host(), static_cast<size_t>(product_scratch_->size_bytes())};
  }
  POTLUCK_RETURN_IF_ERROR(CheckScratch("a product", bytes, scratch.size()));
  uint8_t* to_32 = reinterpret_cast<uint8_t*>(scratch.data());
  uint8_t* to_256 = to_32 + (blocks_32 ? rows * QuantizedRowBytes(in_dim, 32) : 0);
  if (blocks_32 || blocks_256) {
    threads_.For(rows, kQuantizeNanoseconds * in_dim, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        const float* from = FloatRow(x, t);
        if (blocks_32) {
          target_.products->quantize_row_32(from, in_dim,
                                            to_32 + t * QuantizedRowBytes(in_dim, 32));
        }
        if (blocks_256) {
          target_.products->quantize_row_256(from, in_dim,
                                             to_256 + t * QuantizedRowBytes(in_dim, 256));
        }
      }
    });
  }
  return QuantizedInput{to_32, to_256, scratch.subspan(bytes)};
}

absl::Status CpuBackend::MatMul(const MatMulArgs& args) {
  POTLUCK_RETURN_IF_ERROR(Validate(args));
  POTLUCK_ASSIGN_OR_RETURN(const QuantizedInput input,
                           QuantizeInput(args.x, args.products, args.precision));
  ProductRun run = {.kernels = *target_.products,
                    .input = {&args.x, input.blocks_32, input.blocks_256},
                    .precision = args.precision};
  const RowList rows = {.begin = 0, .end = args.x.shape[0]};
  if (rows.end == 0) return absl::OkStatus();
  const auto run_products = [&](std::span<const Product> products) {
    const int64_t groups = CountGroups(products, num_threads());
    const double group_nanoseconds = Nanoseconds(products, rows.end) / groups;
    threads_.For(groups, group_nanoseconds, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        run.Run(FindGroup(products, num_threads(), 0, i), rows);
      }
    });
  };
  if (std::ranges::none_of(args.products, HasAdapters)) {
    run_products(args.products);
    return absl::OkStatus();
  }
  for (const Product& product : args.products) {
    run.down_stride = MaxRank(product);
    run.down = reinterpret_cast<const float*>(input.rest.data());
    POTLUCK_RETURN_IF_ERROR(ProjectDown(args.x, product, run.down_stride, input.rest));
    run_products({&product, 1});
  }
  return absl::OkStatus();
}

absl::Status CpuBackend::ProjectDown(const TensorView& x, const Product& product, int64_t stride,
                                     std::span<std::byte> scratch) {
  const int64_t bytes = x.shape[0] * stride * static_cast<int64_t>(sizeof(float));
  POTLUCK_RETURN_IF_ERROR(CheckScratch("an adapter", bytes, scratch.size()));
  if (!HasAdapters(product)) return absl::OkStatus();
  float* down = reinterpret_cast<float*>(scratch.data());
  const double row_nanoseconds = kMultiplyNanoseconds * x.shape[1] * stride;
  threads_.For(x.shape[0], row_nanoseconds, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int slot = product.adapters.token_slot[t];
      if (slot == 0) continue;
      const TensorView& a = product.adapters.adapters[slot - 1].a;
      target_.products->dot_rows(FloatRow(x, t), a.host<float>(), a.strides[0], a.shape[0],
                                 a.shape[1], down + t * stride);
    }
  });
  return absl::OkStatus();
}

absl::Status CpuBackend::ExpertMatMul(const ExpertMatMulArgs& args) {
  POTLUCK_RETURN_IF_ERROR(Validate(args));
  POTLUCK_ASSIGN_OR_RETURN(const QuantizedInput input,
                           QuantizeInput(args.x, args.products, args.precision));
  ProductRun run = {.kernels = *target_.products,
                    .input = {&args.x, input.blocks_32, input.blocks_256},
                    .precision = args.precision};
  const int64_t num_tokens = args.experts.shape[0], choices = args.experts.shape[1];
  const int64_t num_rows = num_tokens * choices;
  if (num_rows == 0 || args.products.empty()) return absl::OkStatus();
  const int64_t order_bytes = num_rows * static_cast<int64_t>(sizeof(int32_t));
  POTLUCK_RETURN_IF_ERROR(CheckScratch("a stack of experts", order_bytes, input.rest.size()));
  int32_t* order = reinterpret_cast<int32_t*>(input.rest.data());
  const int64_t num_active = GroupByExpert(args.experts, order);
  const int64_t divisor = args.x.shape[0] == num_tokens ? choices : 1;
  const int64_t groups = CountGroups(args.products, num_threads());
  const double group_nanoseconds = Nanoseconds(args.products, num_rows) / (num_active * groups);
  threads_.For(num_active * groups, group_nanoseconds, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int32_t expert = active_experts_[i / groups];
      const RowList rows = {order, expert_begin_[expert], expert_begin_[expert + 1], divisor};
      run.Run(FindGroup(args.products, num_threads(), expert, i % groups), rows);
    }
  });
  return absl::OkStatus();
}

int64_t CpuBackend::GroupByExpert(const TensorView& experts, int32_t* order) {
  const int64_t choices = experts.shape[1];
  const int64_t num_rows = experts.shape[0] * choices;
  const auto expert_of = [&](int64_t row) {
    return experts.host<int32_t>()[row / choices * experts.strides[0] + row % choices];
  };
  // A counting sort: first each expert's number of rows, one place up, then where they begin.
  std::ranges::fill(expert_begin_, 0);
  for (int64_t row = 0; row < num_rows; ++row) ++expert_begin_[expert_of(row) + 1];
  int64_t num_active = 0;
  for (size_t e = 0; e + 1 < expert_begin_.size(); ++e) {
    if (expert_begin_[e + 1] > 0) active_experts_[num_active++] = static_cast<int32_t>(e);
    expert_begin_[e + 1] += expert_begin_[e];
  }
  // Filling moves each begin to the next one's; so they are moved back afterwards.
  for (int64_t row = 0; row < num_rows; ++row) {
    order[expert_begin_[expert_of(row)]++] = static_cast<int32_t>(row);
  }
  std::ranges::copy_backward(expert_begin_.begin(), expert_begin_.end() - 1, expert_begin_.end());
  expert_begin_[0] = 0;
  return num_active;
}

}  // namespace potluck::kernels
