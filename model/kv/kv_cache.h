// The keys and values of all sequences in the layers of one stage (Transformer-Lite, arXiv
// 2403.20041, d; paged as in Kwon et al. 2023, arXiv:2309.06180).
//
// One pool per layer; a block is 32 positions of one layer. A sequence has a block table per
// attention kind, so that layers with a window give back what has left it. The products of a step
// write straight into their rows: nothing is copied when a sequence grows or is forked; a block is
// copied when one of several users writes into it. Full blocks are found again by their tokens
// (prefix_index.h) until their space is needed.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "kernels/attention.h"
#include "kernels/backend.h"
#include "model/config.h"
#include "model/kv/block_pool.h"
#include "model/kv/prefix_index.h"
#include "model/step.h"

namespace potluck::model {

struct KvOptions {
  kernels::DType dtype = kernels::DType::kF16;  // kF32, kF16 or kQ8_0
  // Positions that all sequences hold together, at most.
  int64_t capacity = 0;
  int64_t max_sequences = 1;
  int64_t max_step_tokens = 0;
  // Beyond `capacity`: each sequence may end in a block that is not full. Less than one for each
  // where whoever fills the cache counts in blocks.
  std::optional<int64_t> spare_blocks;
};

// What a stage's layers need of the cache.
struct KvShape {
  std::vector<AttentionKind> layers;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t window = 0;
};

// Thread-compatible; driven by the thread that drives the backend.
class KvCache {
 public:
  // Bytes that Create would allocate.
  static int64_t BytesFor(const KvShape& shape, const KvOptions& options);

  // ResourceExhausted where the device lacks the memory; InvalidArgument for a q8 cache whose heads
  // are no multiple of 32.
  static absl::StatusOr<std::unique_ptr<KvCache>> Create(const KvShape& shape,
                                                         const KvOptions& options,
                                                         kernels::Backend& backend);

  // Starts an empty sequence with as much of `tokens` as is known already; returns how many tokens
  // that is (a multiple of 32, fewer than all of them: the last one must be computed for its
  // logits). InvalidArgument if the id is taken, ResourceExhausted beyond max_sequences.
  absl::StatusOr<int32_t> Begin(SequenceId sequence, std::span<const TokenId> tokens,
                                uint16_t adapter_slot = 0);

  // Makes room for the step's tokens and says where they lie (index()). On an error nothing has
  // changed: NotFound (sequence), InvalidArgument (positions, parents, order), ResourceExhausted
  // (no block is free).
  absl::Status Place(const Step& step);
  // To be called once the step has run: its prompt and generated tokens are committed, its drafts
  // wait for Accept.
  void Commit(const Step& step);

  // NotFound for an unknown sequence; InvalidArgument for lengths and paths that are none;
  // FailedPrecondition where a window has moved too far to go back: free the sequence and compute
  // it again.
  absl::Status Apply(const KvCommand& command);

  // Committed tokens, or NotFound.
  absl::StatusOr<int32_t> Length(SequenceId sequence) const;
  // Their ids, or NotFound. Valid until the sequence changes.
  absl::StatusOr<std::span<const TokenId>> Tokens(SequenceId sequence) const;
  // All that have begun and are not freed, in no order.
  std::vector<SequenceId> Sequences() const;

  kernels::KvPoolView pool(int64_t layer) const;
  const kernels::KvIndex& index(int64_t layer) const { return kinds_[kind_of_layer_[layer]].index; }
  int32_t window(int64_t layer) const { return kinds_[kind_of_layer_[layer]].window; }
  int64_t num_layers() const { return static_cast<int64_t>(pools_.size()); }

  int64_t size_bytes() const;
  // Blocks in use by sequences, of all kinds; kept prefixes do not count.
  int64_t num_used_blocks() const;

 private:
  // Vectors behind a KvIndex, kept between steps so that a step does not allocate.
  struct IndexStorage {
    std::vector<int32_t> position, write_slot, linear_len, tail_begin, table_begin, table_length,
        tail_slots, block_tables;
  };
  struct Kind {
    int32_t window = 0;  // 0: full
    BlockPool blocks;
    std::vector<int64_t> layers;
    IndexStorage storage;
    kernels::KvIndex index;
  };
  struct Sequence {
    uint16_t adapter_slot = 0;
    std::vector<TokenId> tokens;  // committed
    // The last step's drafts, in its order, until they are accepted or forgotten: id and parent (a
    // draft before it by number, or -1).
    struct Draft {
      TokenId id;
      int32_t parent;
    };
    std::vector<Draft> drafts;
    std::array<std::vector<BlockId>, kMaxAttentionKinds> tables;
    // The prefix nodes of its full blocks, as far as they are indexed.
    std::vector<PrefixNodeId> nodes;

    int32_t length() const { return static_cast<int32_t>(tokens.size()); }
  };
  // The tokens [begin, end) of a step, all of one sequence, its drafts from `first_draft` on.
  struct Run {
    size_t begin = 0, end = 0;
    size_t first_draft = 0;
    Sequence* sequence = nullptr;
  };

  KvCache(const KvShape& shape, const KvOptions& options);

  absl::StatusOr<Sequence*> FindSequence(SequenceId sequence);
  absl::Status SplitIntoRuns(const Step& step);
  absl::Status CheckRun(const Step& step, const Run& run) const;
  absl::Status CheckRoom() const;
  int32_t BlocksNeeded(int kind_number, size_t run_number) const;
  int32_t EarlierWriters(int kind_number, size_t run_number, size_t block_index) const;
  absl::Status PlaceRun(const Run& run);
  void FillIndex(const Step& step, const Run& run, int kind_number);
  absl::Status MakeWritable(Sequence& sequence, int kind_number, int64_t block_index);
  BlockId TakeBlock(int kind_number);
  absl::Status CopyBlock(const Kind& kind, BlockId from, BlockId to);
  absl::Status CopyRow(const Kind& kind, const std::vector<BlockId>& table, int32_t from_slot,
                       int32_t to_slot);
  void CutTables(Sequence& sequence, int32_t length);
  void ReleaseBehindWindow(Sequence& sequence);
  void IndexFullBlocks(Sequence& sequence);
  bool Reusable(std::span<const PrefixIndex::Node* const> nodes) const;
  absl::Status CheckCut(const Sequence& sequence, int32_t length) const;

  absl::Status Trim(const TrimCommand& command);
  absl::Status Fork(const ForkCommand& command);
  absl::Status Accept(const AcceptCommand& command);
  absl::Status Free(const FreeCommand& command);

  KvShape shape_;
  KvOptions options_;
  kernels::Backend* backend_ = nullptr;
  std::vector<int> kind_of_layer_;
  std::vector<Kind> kinds_;
  std::vector<std::unique_ptr<kernels::Buffer>> pools_;  // by layer
  absl::flat_hash_map<SequenceId, std::unique_ptr<Sequence>> sequences_;
  PrefixIndex prefixes_;
  std::vector<Run> runs_;  // of the step being placed
};

}  // namespace potluck::model
