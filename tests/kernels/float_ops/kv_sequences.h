// Sequences with their KV in a pool, for tests of attention: their blocks lie in the pool in a
// shuffled order, and the index of a step is made as the KV cache makes it.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "kernels/backend.h"

namespace potluck::kernels {

// A token of a step: of a sequence, at a position, with the slots of what it sees beyond the linear
// part (its ancestors and itself), and where its own keys go.
struct StepRow {
  int sequence = 0;
  int32_t position = 0;
  int32_t linear_len = 0;
  std::vector<int32_t> tail;
  int32_t write_slot = 0;
};

class KvSequences {
 public:
  // Every sequence has room for `positions` of them. Unused pool memory is filled with NaN bits.
  KvSequences(DType dtype, int64_t num_kv_heads, int64_t head_dim, int num_sequences,
              int64_t positions, std::mt19937& random);

  // A plain token: sees all before it at their own slots.
  static StepRow Linear(int sequence, int32_t position) {
    return {sequence, position, position + 1, {}, position};
  }

  const KvPoolView& pool() const { return pool_; }
  // Valid until the next call.
  const KvIndex& Index(const std::vector<StepRow>& rows);
  // Marks the blocks wholly before `position` as released.
  void Release(int sequence, int32_t position);
  std::vector<std::byte> Bytes() const;
  void SetBytes(const std::vector<std::byte>& bytes);

 private:
  int64_t blocks_per_sequence_;
  std::unique_ptr<Buffer> buffer_;
  KvPoolView pool_;
  std::vector<int32_t> tables_;
  std::vector<int32_t> position_, write_slot_, linear_len_, tail_begin_, table_begin_,
      table_length_, tail_slots_;
  KvIndex index_;
};

}  // namespace potluck::kernels
