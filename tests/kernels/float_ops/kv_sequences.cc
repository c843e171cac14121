#include "tests/kernels/float_ops/kv_sequences.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "kernels/host_buffer.h"

namespace potluck::kernels {

KvSequences::KvSequences(DType dtype, int64_t num_kv_heads, int64_t head_dim, int num_sequences,
                         int64_t positions, std::mt19937& random)
    : blocks_per_sequence_((positions + kKvBlockPositions - 1) / kKvBlockPositions) {
  pool_.dtype = dtype;
  pool_.num_kv_heads = num_kv_heads;
  pool_.head_dim = head_dim;
  pool_.num_blocks = num_sequences * blocks_per_sequence_ + 3;
  buffer_ = *AllocateHostBuffer(pool_.num_blocks * pool_.block_bytes(), "a test's pool");
  std::memset(buffer_->host(), 0xff, buffer_->size_bytes());
  pool_.buffer = buffer_.get();
  tables_.resize(pool_.num_blocks);
  std::iota(tables_.begin(), tables_.end(), 0);
  std::shuffle(tables_.begin(), tables_.end(), random);
  tables_.resize(num_sequences * blocks_per_sequence_);
}

const KvIndex& KvSequences::Index(const std::vector<StepRow>& rows) {
  for (auto* numbers : {&position_, &write_slot_, &linear_len_, &tail_begin_, &table_begin_,
                        &table_length_, &tail_slots_}) {
    numbers->clear();
  }
  for (const StepRow& row : rows) {
    position_.push_back(row.position);
    write_slot_.push_back(row.write_slot);
    linear_len_.push_back(row.linear_len);
    tail_begin_.push_back(static_cast<int32_t>(tail_slots_.size()));
    table_begin_.push_back(static_cast<int32_t>(row.sequence * blocks_per_sequence_));
    table_length_.push_back(static_cast<int32_t>(blocks_per_sequence_));
    tail_slots_.insert(tail_slots_.end(), row.tail.begin(), row.tail.end());
  }
  index_ = {position_,    write_slot_,   linear_len_, tail_begin_,
            table_begin_, table_length_, tail_slots_, tables_};
  return index_;
}

void KvSequences::Release(int sequence, int32_t position) {
  for (int64_t b = 0; (b + 1) * kKvBlockPositions <= position; ++b) {
    const int64_t at = sequence * blocks_per_sequence_ + b;
    if (tables_[at] < 0) continue;
    std::memset(buffer_->host() + tables_[at] * pool_.block_bytes(), 0xff, pool_.block_bytes());
    tables_[at] = -1;
  }
}

std::vector<std::byte> KvSequences::Bytes() const {
  return {buffer_->host(), buffer_->host() + buffer_->size_bytes()};
}

void KvSequences::SetBytes(const std::vector<std::byte>& bytes) {
  std::copy(bytes.begin(), bytes.end(), buffer_->host());
}

}  // namespace potluck::kernels
