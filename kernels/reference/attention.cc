#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "common/status_macros.h"
#include "kernels/formats/floats.h"
#include "kernels/numerics.h"
#include "kernels/reference/reference_backend.h"
#include "kernels/reference/sum_lanes.h"

namespace potluck::kernels {
namespace {

enum class Part { kKey, kValue };

// Where head g's key or value for a slot of token t's sequence lies.
std::byte* Place(const KvPoolView& pool, const KvIndex& index, int64_t t, int64_t g, int64_t slot,
                 Part part) {
  const int64_t block = index.block_tables[index.table_begin[t] + slot / kKvBlockPositions];
  const int64_t head = part == Part::kKey ? g : pool.num_kv_heads + g;
  return pool.buffer->host() + block * pool.block_bytes() + head * pool.head_bytes() +
         BytesOf(pool.dtype, slot % kKvBlockPositions * pool.head_dim);
}

// One block of 32 values as Q8_0 keeps them: f16 scale, then 32 signed bytes. A block that holds an
// infinity or a NaN becomes all NaN.
void EncodeQ8Block(const float* x, std::byte* to) {
  float amax = 0;
  bool finite = true;
  for (int i = 0; i < 32; ++i) {
    amax = std::max(amax, std::fabs(x[i]));
    finite = finite && std::isfinite(x[i]);
  }
  const float scale = amax / 127.0f;
  const uint16_t half = finite ? HalfFromFloat(scale) : 0x7e00;
  const float inverse = finite && amax >= 0x1p-100f ? 1.0f / scale : 0.0f;
  int8_t q[32] = {};
  for (int i = 0; i < 32 && finite; ++i) {
    q[i] = static_cast<int8_t>(std::nearbyint(x[i] * inverse));
  }
  std::memcpy(to, &half, 2);
  std::memcpy(to + 2, q, 32);
}

void Encode(DType dtype, const float* x, int64_t count, std::byte* to) {
  if (dtype == DType::kQ8_0) {
    for (int64_t i = 0; i < count; i += 32) EncodeQ8Block(x + i, to + i / 32 * 34);
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    if (dtype == DType::kF32) {
      std::memcpy(to + 4 * i, &x[i], 4);
    } else {
      const uint16_t half = HalfFromFloat(x[i]);
      std::memcpy(to + 2 * i, &half, 2);
    }
  }
}

std::vector<float> Decode(DType dtype, const std::byte* from, int64_t count) {
  std::vector<float> x(count);
  for (int64_t i = 0; i < count; ++i) {
    uint16_t half;
    if (dtype == DType::kF32) {
      std::memcpy(&x[i], from + 4 * i, 4);
    } else if (dtype == DType::kF16) {
      std::memcpy(&half, from + 2 * i, 2);
      x[i] = FloatFromHalf(half);
    } else {
      const std::byte* block = from + i / 32 * 34;
      std::memcpy(&half, block, 2);
      x[i] = FloatFromHalf(half) * static_cast<float>(static_cast<int8_t>(block[2 + i % 32]));
    }
  }
  return x;
}

// The slot of position j as token t sees it.
int64_t SlotOf(const KvIndex& index, int64_t t, int64_t j) {
  if (j < index.linear_len[t]) return j;
  return index.tail_slots[index.tail_begin[t] + j - index.linear_len[t]];
}

float Score(const AttentionArgs& args, const float* q, const std::vector<float>& key) {
  std::array<float, 16> lanes = {};
  for (size_t d = 0; d < key.size(); ++d) lanes[d % 16] = std::fma(q[d], key[d], lanes[d % 16]);
  const float z = SumLanes(lanes) * args.scale;
  return args.softcap > 0 ? args.softcap * Tanh(z / args.softcap) : z;
}

// What the spans so far, or one of them, add up to.
struct Partial {
  float max = 0, sum = 0;
  std::vector<float> out;
};

// The visible positions [begin, end), all of one span.
Partial AttendSpan(const AttentionArgs& args, int64_t t, int64_t h, int64_t begin, int64_t end) {
  const KvIndex& index = *args.index;
  const int64_t g = h / (args.q.shape[1] / args.pool.num_kv_heads), dim = args.pool.head_dim;
  const float* q = FloatRow(args.q, t) + h * args.q.strides[1];
  const auto row = [&](int64_t j, Part part) {
    return Decode(args.pool.dtype, Place(args.pool, index, t, g, SlotOf(index, t, j), part), dim);
  };
  Partial span{-std::numeric_limits<float>::infinity(), 0, std::vector<float>(dim)};
  std::vector<float> scores;
  for (int64_t j = begin; j < end; ++j) {
    scores.push_back(Score(args, q, row(j, Part::kKey)));
    span.max = scores.back() > span.max ? scores.back() : span.max;
  }
  std::array<float, 16> lanes = {};
  for (int64_t j = begin; j < end; ++j) {
    const float w = Exp(scores[j - begin] - span.max);
    lanes[j % 16] += w;
    const std::vector<float> value = row(j, Part::kValue);
    for (int64_t d = 0; d < dim; ++d) span.out[d] = std::fma(w, value[d], span.out[d]);
  }
  span.sum = SumLanes(lanes);
  return span;
}

void Merge(const Partial& span, Partial& total) {
  const float max = span.max > total.max ? span.max : total.max;
  const float a = Exp(total.max - max), b = Exp(span.max - max);
  total.max = max;
  total.sum = std::fma(total.sum, a, span.sum * b);
  for (size_t d = 0; d < total.out.size(); ++d) {
    total.out[d] = std::fma(total.out[d], a, span.out[d] * b);
  }
}

}  // namespace

absl::Status ReferenceBackend::KvWrite(const KvWriteArgs& args) {
  POTLUCK_RETURN_IF_ERROR(Validate(args));
  for (int64_t t = 0; t < args.k.shape[0]; ++t) {
    for (int64_t g = 0; g < args.pool.num_kv_heads; ++g) {
      for (const Part part : {Part::kKey, Part::kValue}) {
        const TensorView& from = part == Part::kKey ? args.k : args.v;
        Encode(args.pool.dtype, FloatRow(from, t) + g * from.strides[1], args.pool.head_dim,
               Place(args.pool, *args.index, t, g, args.index->write_slot[t], part));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status ReferenceBackend::Attention(const AttentionArgs& args) {
  POTLUCK_RETURN_IF_ERROR(Validate(args));
  for (int64_t t = 0; t < args.q.shape[0]; ++t) {
    const int64_t end = int64_t{args.index->position[t]} + 1;
    const int64_t first = args.window > 0 ? std::max<int64_t>(0, end - args.window) : 0;
    for (int64_t h = 0; h < args.q.shape[1]; ++h) {
      Partial total;
      for (int64_t begin = first; begin < end;) {
        const int64_t span_end = std::min(end, (begin / kAttentionSpan + 1) * kAttentionSpan);
        const Partial span = AttendSpan(args, t, h, begin, span_end);
        if (begin == first) {
          total = span;
        } else {
          Merge(span, total);
        }
        begin = span_end;
      }
      float* out = FloatRow(args.out, t) + h * args.out.strides[1];
      for (int64_t d = 0; d < args.pool.head_dim; ++d) out[d] = total.out[d] / total.sum;
    }
  }
  return absl::OkStatus();
}

}  // namespace potluck::kernels
