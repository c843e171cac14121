// Attention on the CPU. The unit of work is a tile: some neighbouring tokens of one sequence and
// the query heads that share a KV head, at most kTileRows rows of queries, so that each key and
// value is read once for all of them. Where there are fewer tiles than would keep the threads busy
// (decoding), a tile's spans are shared out too, a wave of them at a time, and merged in order:
// the same bits either way.
#include <algorithm>
#include <atomic>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/float_kernels.h"
#include "kernels/host_buffer.h"

namespace potluck::kernels {
namespace {

constexpr int64_t kTileRows = 32;
// Tiles per thread from which on they are balanced without sharing out their spans, and the spans
// in a wave per thread where there are fewer.
constexpr int64_t kTilesPerThread = 2;
constexpr int64_t kSpansPerThread = 16;
// What these take one core, about.
constexpr double kMultiplyNanoseconds = 0.15;  // a multiply-add with a stored key or value
constexpr double kMergeNanoseconds = 0.25;     // an element of a span's sums
constexpr double kEncodeNanoseconds = 0.5;     // a key's or value's element

static_assert(kSpanRow == kAttentionSpan && kMaxKvRows == kKvBlockPositions &&
              kMaxPaddedHeadDim >= kMaxHeadDim && kMaxPaddedHeadDim % 16 == 0);

// What a span, or all so far, add up to for each row of a tile.
struct Sums {
  float* max;
  float* sum;
  float* out;  // (kTileRows, padded)

  static constexpr int64_t Floats(int64_t padded) { return kTileRows * (2 + padded); }
  static Sums At(float* memory, int64_t padded, int64_t i) {
    memory += i * Floats(padded);
    return {memory, memory + kTileRows, memory + 2 * kTileRows};
  }
};

// What one worker needs for one tile.
struct Workspace {
  float* q;       // (kTileRows, padded)
  float* scores;  // (kTileRows, kSpanRow)
  Sums span, total;

  static constexpr int64_t Floats(int64_t padded) {
    return kTileRows * (padded + kSpanRow) + 2 * Sums::Floats(padded);
  }
  static Workspace At(float* memory, int64_t padded, int64_t i) {
    memory += i * Floats(padded);
    float* scores = memory + kTileRows * padded;
    float* sums = scores + kTileRows * kSpanRow;
    return {memory, scores, Sums::At(sums, padded, 0), Sums::At(sums, padded, 1)};
  }
};

struct Tokens {
  int32_t begin, end;
};

// Tokens [begin, end) of the step, query heads [head, head + num_heads) of KV head g. Row r is head
// r mod num_heads of token r / num_heads.
struct Tile {
  int64_t begin, end;
  int64_t g;
  int64_t head, num_heads;

  int64_t num_rows() const { return (end - begin) * num_heads; }
};

KvEncoding EncodingOf(DType dtype) {
  if (dtype == DType::kF32) return kKvFloat;
  return dtype == DType::kF16 ? kKvHalf : kKvQ8;
}

// One call of Attention.
class Run {
 public:
  Run(const AttentionArgs& args, const FloatKernels& kernels)
      : args_(args),
        index_(*args.index),
        kernels_(kernels),
        encoding_(EncodingOf(args.pool.dtype)),
        row_bytes_(BytesOf(args.pool.dtype, args.pool.head_dim)),
        padded_(PaddedHeadDim(args.pool.head_dim)),
        heads_per_group_(args.q.shape[1] / args.pool.num_kv_heads),
        heads_per_tile_(std::min(heads_per_group_, kTileRows)),
        parts_((heads_per_group_ + heads_per_tile_ - 1) / heads_per_tile_) {}

  int64_t padded() const { return padded_; }

  // Neighbouring tokens of one sequence, as many as fill a tile; returns the number of groups.
  int64_t GroupTokens(Tokens* groups) {
    const int64_t most = kTileRows / heads_per_tile_;
    int64_t count = 0;
    for (int64_t t = 0; t < args_.q.shape[0]; ++t) {
      const bool joins = count > 0 && t - groups[count - 1].begin < most &&
                         index_.table_begin[t] == index_.table_begin[t - 1] &&
                         index_.table_length[t] == index_.table_length[t - 1];
      if (!joins) groups[count++].begin = static_cast<int32_t>(t);
      groups[count - 1].end = static_cast<int32_t>(t + 1);
    }
    groups_ = groups;
    return count;
  }
  // What all of it takes one core, about.
  double Nanoseconds() const {
    int64_t positions = 0;
    for (int64_t t = 0; t < args_.q.shape[0]; ++t) positions += End(t) - FirstVisible(t);
    return kMultiplyNanoseconds * 2 * args_.q.shape[1] * padded_ * positions;
  }

  int64_t TilesPerGroup() const { return args_.pool.num_kv_heads * parts_; }

  Tile TileAt(int64_t i) const {
    const Tokens tokens = groups_[i / TilesPerGroup()];
    const int64_t g = i % TilesPerGroup() / parts_, first = i % parts_ * heads_per_tile_;
    return {tokens.begin, tokens.end, g, g * heads_per_group_ + first,
            std::min(heads_per_tile_, heads_per_group_ - first)};
  }

  // The spans that the tile's tokens see.
  int64_t FirstSpan(const Tile& tile) const {
    int64_t first = FirstVisible(tile.begin);
    for (int64_t t = tile.begin; t < tile.end; ++t) first = std::min(first, FirstVisible(t));
    return first / kAttentionSpan;
  }
  int64_t EndSpan(const Tile& tile) const {
    int64_t end = 0;
    for (int64_t t = tile.begin; t < tile.end; ++t) end = std::max(end, End(t));
    return (end + kAttentionSpan - 1) / kAttentionSpan;
  }

  void LoadQueries(const Tile& tile, float* q) const {
    for (int64_t r = 0; r < tile.num_rows(); ++r) {
      const int64_t t = tile.begin + r / tile.num_heads, h = tile.head + r % tile.num_heads;
      const float* from = FloatRow(args_.q, t) + h * args_.q.strides[1];
      std::fill(std::copy_n(from, args_.pool.head_dim, q + r * padded_), q + (r + 1) * padded_,
                0.0f);
    }
  }

  // One span for all rows of the tile that see some of it.
  void AttendSpan(const Tile& tile, int64_t span, const float* q, float* scores,
                  const Sums& sums) const {
    const int64_t base = span * kAttentionSpan;
    ForEachRun(tile, base, [&](const PositionRun& run) {
      const int64_t row = (run.token_begin - tile.begin) * tile.num_heads;
      const KvRows keys = RowsAt(run, tile.g);
      kernels_.attention_scores(&keys, q + row * padded_,
                                (run.token_end - run.token_begin) * tile.num_heads,
                                scores + row * kSpanRow + run.position - base);
    });
    for (int64_t r = 0; r < tile.num_rows(); ++r) {
      const int64_t t = tile.begin + r / tile.num_heads;
      const int64_t begin = std::max(FirstVisible(t) - base, int64_t{0});
      const int64_t end = std::min<int64_t>(End(t) - base, kAttentionSpan);
      if (begin >= end) continue;
      kernels_.attention_softmax(scores + r * kSpanRow, begin, end, args_.scale, args_.softcap,
                                 &sums.max[r], &sums.sum[r]);
    }
    std::fill_n(sums.out, tile.num_rows() * padded_, 0.0f);
    ForEachRun(tile, base, [&](const PositionRun& run) {
      int32_t begin[kTileRows], end[kTileRows];
      const int64_t row = (run.token_begin - tile.begin) * tile.num_heads;
      const int64_t count = (run.token_end - run.token_begin) * tile.num_heads;
      for (int64_t r = 0; r < count; ++r) {
        const int64_t t = run.token_begin + r / tile.num_heads;
        const int64_t limit = run.is_tail ? End(t) : LinearEnd(t);
        begin[r] = static_cast<int32_t>(std::max(FirstVisible(t) - run.position, int64_t{0}));
        end[r] = static_cast<int32_t>(std::min(limit - run.position, run.count));
      }
      const KvRows values = RowsAt(run, args_.pool.num_kv_heads + tile.g);
      kernels_.attention_values(&values, scores + row * kSpanRow + run.position - base, begin, end,
                                count, sums.out + row * padded_);
    });
  }

  // Adds a span's sums to the total of the rows that see some of it.
  void Merge(const Tile& tile, int64_t span, const Sums& sums, const Sums& total) const {
    for (int64_t r = 0; r < tile.num_rows(); ++r) {
      const int64_t t = tile.begin + r / tile.num_heads;
      const int64_t first = FirstVisible(t) / kAttentionSpan;
      if (span < first || span * kAttentionSpan >= End(t)) continue;
      const int64_t at = r * padded_;
      if (span == first) {
        total.max[r] = sums.max[r];
        total.sum[r] = sums.sum[r];
        std::copy_n(sums.out + at, padded_, total.out + at);
      } else {
        kernels_.attention_merge(&sums.max[r], &sums.sum[r], sums.out + at, padded_, &total.max[r],
                                 &total.sum[r], total.out + at);
      }
    }
  }

  void Finish(const Tile& tile, const Sums& total) const {
    for (int64_t r = 0; r < tile.num_rows(); ++r) {
      const int64_t t = tile.begin + r / tile.num_heads, h = tile.head + r % tile.num_heads;
      float* to = FloatRow(args_.out, t) + h * args_.out.strides[1];
      kernels_.attention_finish(total.out + r * padded_, total.sum[r], args_.pool.head_dim, to);
    }
  }

 private:
  // Positions [position, position + count) that lie in consecutive rows from `slot` on, seen (some
  // of them, each) by tokens of [token_begin, token_end).
  struct PositionRun {
    int64_t position, count, slot;
    int64_t token_begin, token_end;
    bool is_tail;
  };

  int64_t End(int64_t t) const { return int64_t{index_.position[t]} + 1; }
  int64_t LinearEnd(int64_t t) const { return std::min<int64_t>(index_.linear_len[t], End(t)); }
  int64_t FirstVisible(int64_t t) const {
    return args_.window > 0 ? std::max<int64_t>(0, End(t) - args_.window) : 0;
  }

  KvRows RowsAt(const PositionRun& run, int64_t head) const {
    const int64_t block =
        index_.block_tables[index_.table_begin[run.token_begin] + run.slot / kKvBlockPositions];
    const std::byte* data = args_.pool.buffer->host() + block * args_.pool.block_bytes() +
                            head * args_.pool.head_bytes() +
                            run.slot % kKvBlockPositions * row_bytes_;
    return {encoding_, data, row_bytes_, run.count, args_.pool.head_dim};
  }

  // The span's positions in ascending order for each token: first those in the shared, linear part
  // of the sequence, block by block, then each token's own.
  template <typename Body>
  void ForEachRun(const Tile& tile, int64_t base, const Body& body) const {
    const int64_t span_end = base + kAttentionSpan;
    int64_t linear_end = 0;
    for (int64_t t = tile.begin; t < tile.end; ++t) linear_end = std::max(linear_end, LinearEnd(t));
    linear_end = std::min(linear_end, span_end);
    for (int64_t j = base; j < linear_end; j += kKvBlockPositions) {
      int64_t from = linear_end, to = j, token_begin = tile.end, token_end = tile.begin;
      for (int64_t t = tile.begin; t < tile.end; ++t) {
        const int64_t first = std::max(FirstVisible(t), j);
        const int64_t last = std::min(LinearEnd(t), j + kKvBlockPositions);
        if (first >= last) continue;
        from = std::min(from, first);
        to = std::max(to, last);
        token_begin = std::min(token_begin, t);
        token_end = t + 1;
      }
      if (from < to) body(PositionRun{from, to - from, from, token_begin, token_end, false});
    }
    for (int64_t t = tile.begin; t < tile.end; ++t) {
      const int64_t linear = index_.linear_len[t];
      const int64_t end = std::min(End(t), span_end);
      for (int64_t j = std::max({base, FirstVisible(t), linear}); j < end; ++j) {
        const int64_t slot = index_.tail_slots[index_.tail_begin[t] + j - linear];
        body(PositionRun{j, 1, slot, t, t + 1, true});
      }
    }
  }

  const AttentionArgs& args_;
  const KvIndex& index_;
  const FloatKernels& kernels_;
  const KvEncoding encoding_;
  const int64_t row_bytes_;
  const int64_t padded_;
  const int64_t heads_per_group_, heads_per_tile_, parts_;
  const Tokens* groups_ = nullptr;
};

// Calls body(worker, item) for every item, all of which take one core `nanoseconds`; workers take
// the next as they finish one, and no two items run at the same time with one worker's number.
template <typename Body>
void ForItems(ThreadPool& threads, int64_t count, double nanoseconds, const Body& body) {
  std::atomic<int64_t> next = 0;
  const int64_t workers = std::min<int64_t>(threads.num_threads(), count);
  threads.For(workers, nanoseconds / workers, [&](int64_t begin, int64_t end) {
    for (int64_t worker = begin; worker < end; ++worker) {
      for (int64_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) {
        body(worker, i);
      }
    }
  });
}

void AttendWhole(ThreadPool& threads, const Run& run, int64_t num_tiles, float* memory) {
  ForItems(threads, num_tiles, run.Nanoseconds(), [&](int64_t worker, int64_t i) {
    const Workspace space = Workspace::At(memory, run.padded(), worker);
    const Tile tile = run.TileAt(i);
    run.LoadQueries(tile, space.q);
    const int64_t end = run.EndSpan(tile);
    for (int64_t span = run.FirstSpan(tile); span < end; ++span) {
      run.AttendSpan(tile, span, space.q, space.scores, space.span);
      run.Merge(tile, span, space.span, space.total);
    }
    run.Finish(tile, space.total);
  });
}

void AttendBySpans(ThreadPool& threads, const Run& run, int64_t num_tiles, int64_t begin_span,
                   int64_t end_span, float* memory) {
  const int64_t padded = run.padded();
  const int64_t wave = kSpansPerThread * threads.num_threads() / num_tiles;
  const double span_nanoseconds = run.Nanoseconds() / (end_span - begin_span);
  float* totals = memory + threads.num_threads() * Workspace::Floats(padded);
  float* partials = totals + num_tiles * Sums::Floats(padded);
  for (int64_t first = begin_span; first < end_span; first += wave) {
    const int64_t spans = std::min(wave, end_span - first);
    const double nanoseconds = span_nanoseconds * spans;
    ForItems(threads, num_tiles * spans, nanoseconds, [&](int64_t worker, int64_t i) {
      const Tile tile = run.TileAt(i / spans);
      const int64_t span = first + i % spans;
      if (span < run.FirstSpan(tile) || span >= run.EndSpan(tile)) return;
      const Workspace space = Workspace::At(memory, padded, worker);
      run.LoadQueries(tile, space.q);
      run.AttendSpan(tile, span, space.q, space.scores, Sums::At(partials, padded, i));
    });
    const double merge_nanoseconds = kMergeNanoseconds * spans * run.TileAt(0).num_rows() * padded;
    threads.For(num_tiles, merge_nanoseconds, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const Tile tile = run.TileAt(i);
        for (int64_t s = 0; s < spans; ++s) {
          run.Merge(tile, first + s, Sums::At(partials, padded, i * spans + s),
                    Sums::At(totals, padded, i));
        }
        if (first + spans == end_span) run.Finish(tile, Sums::At(totals, padded, i));
      }
    });
  }
}

}  // namespace

absl::Status CpuBackend::ReserveAttentionScratch(const StepLimits& limits) {
  const int64_t padded = PaddedHeadDim(kMaxHeadDim);
  const int64_t floats_per_thread =
      Workspace::Floats(padded) + (kTilesPerThread + kSpansPerThread) * Sums::Floats(padded);
  const int64_t bytes = num_threads() * floats_per_thread * static_cast<int64_t>(sizeof(float)) +
                        limits.max_tokens * static_cast<int64_t>(sizeof(Tokens));
  if (attention_scratch_ != nullptr && attention_scratch_->size_bytes() >= bytes) {
    return absl::OkStatus();
  }
  // Laid out for the largest heads; pages that smaller ones leave untouched take no memory.
  POTLUCK_ASSIGN_OR_RETURN(attention_scratch_, AllocateHostBuffer(bytes, "attention's scratch"));
  return absl::OkStatus();
}

absl::Status CpuBackend::KvWrite(const KvWriteArgs& args) {
  POTLUCK_RETURN_IF_ERROR(Validate(args));
  const KvPoolView& pool = args.pool;
  const KvIndex& index = *args.index;
  const KvEncoding encoding = EncodingOf(pool.dtype);
  const int64_t row_bytes = BytesOf(pool.dtype, pool.head_dim);
  const auto write = [&](int64_t t) {
    const int64_t slot = index.write_slot[t];
    const int64_t block = index.block_tables[index.table_begin[t] + slot / kKvBlockPositions];
    std::byte* to =
        pool.buffer->host() + block * pool.block_bytes() + slot % kKvBlockPositions * row_bytes;
    for (int64_t g = 0; g < pool.num_kv_heads; ++g) {
      const float* k = FloatRow(args.k, t) + g * args.k.strides[1];
      const float* v = FloatRow(args.v, t) + g * args.v.strides[1];
      target_.floats->encode_kv(encoding, k, pool.head_dim, to + g * pool.head_bytes());
      target_.floats->encode_kv(encoding, v, pool.head_dim,
                                to + (pool.num_kv_heads + g) * pool.head_bytes());
    }
  };
  const double token_nanoseconds = kEncodeNanoseconds * 2 * pool.num_kv_heads * pool.head_dim;
  threads_.For(args.k.shape[0], token_nanoseconds, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) write(t);
  });
  return absl::OkStatus();
}

absl::Status CpuBackend::Attention(const AttentionArgs& args) {
  POTLUCK_RETURN_IF_ERROR(Validate(args));
  const int64_t num_tokens = args.q.shape[0];
  if (num_tokens == 0) return absl::OkStatus();
  if (attention_scratch_ == nullptr || num_tokens > limits_.max_tokens) {
    return absl::FailedPreconditionError(absl::StrCat("attention of ", num_tokens,
                                                      " tokens without scratch for them: Reserve "
                                                      "first"));
  }
  Run run(args, *target_.floats);
  auto* groups = reinterpret_cast<Tokens*>(attention_scratch_->host());
  const int64_t num_tiles = run.GroupTokens(groups) * run.TilesPerGroup();
  // 64-byte alignment after the groups is not needed: all loads are unaligned ones.
  auto* memory = reinterpret_cast<float*>(groups + limits_.max_tokens);
  int64_t begin_span = run.FirstSpan(run.TileAt(0)), end_span = 0;
  for (int64_t i = 0; i < num_tiles; i += run.TilesPerGroup()) {
    begin_span = std::min(begin_span, run.FirstSpan(run.TileAt(i)));
    end_span = std::max(end_span, run.EndSpan(run.TileAt(i)));
  }
  if (threads_.num_threads() == 1 || end_span - begin_span < 2 ||
      num_tiles >= kTilesPerThread * threads_.num_threads()) {
    AttendWhole(threads_, run, num_tiles, memory);
  } else {
    AttendBySpans(threads_, run, num_tiles, begin_span, end_span, memory);
  }
  return absl::OkStatus();
}

}  // namespace potluck::kernels
