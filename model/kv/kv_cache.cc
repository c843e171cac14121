#include "model/kv/kv_cache.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"

namespace potluck::model {
namespace {

constexpr int32_t kBlock = kernels::kKvBlockPositions;

// More than any device has; sums end here, since a config may ask for more than int64 holds.
constexpr int64_t kUnboundedBytes = int64_t{1} << 60;

int64_t BlocksFor(int64_t positions) { return (positions + kBlock - 1) / kBlock; }

// The first position that a token at `position` sees.
int32_t FirstVisible(int32_t window, int32_t position) {
  return window == 0 ? 0 : std::max(0, position + 1 - window);
}

int64_t NumBlocks(const KvOptions& options, int64_t window) {
  const int64_t full =
      BlocksFor(options.capacity) + options.spare_blocks.value_or(options.max_sequences);
  if (window == 0) return full;
  const int64_t per_sequence = BlocksFor(window + options.max_step_tokens) + 1;
  return std::min(full, options.max_sequences * per_sequence);
}

// 0: none.
int32_t WindowOf(const KvShape& shape, AttentionKind kind) {
  return static_cast<int32_t>(kind == AttentionKind::kWindow ? shape.window : 0);
}

std::vector<int32_t> WindowsOf(const KvShape& shape) {
  std::vector<int32_t> windows;
  for (const AttentionKind kind : shape.layers) {
    const int32_t window = WindowOf(shape, kind);
    if (std::ranges::find(windows, window) == windows.end()) windows.push_back(window);
  }
  return windows;
}

absl::Status NoSequence(SequenceId sequence) {
  return absl::NotFoundError(absl::StrCat("no sequence ", sequence));
}

kernels::KvPoolView PoolView(const KvShape& shape, const KvOptions& options, int32_t window) {
  return {.dtype = options.dtype,
          .num_kv_heads = shape.num_kv_heads,
          .head_dim = shape.head_dim,
          .num_blocks = NumBlocks(options, window),
          .buffer = nullptr};
}

// Of all kinds together.
int64_t TotalBlocks(const KvShape& shape, const KvOptions& options) {
  int64_t total = 0;
  for (const int32_t window : WindowsOf(shape)) total += NumBlocks(options, window);
  return total;
}

}  // namespace

KvCache::KvCache(const KvShape& shape, const KvOptions& options)
    : shape_(shape), options_(options), prefixes_(TotalBlocks(shape, options)) {
  const std::vector<int32_t> windows = WindowsOf(shape);
  for (const int32_t window : windows) {
    kinds_.push_back({.window = window,
                      .blocks = BlockPool(static_cast<int32_t>(NumBlocks(options, window))),
                      .layers = {},
                      .storage = {},
                      .index = {}});
    IndexStorage& storage = kinds_.back().storage;
    for (auto* numbers : {&storage.position, &storage.write_slot, &storage.linear_len,
                          &storage.tail_begin, &storage.table_begin, &storage.table_length}) {
      numbers->reserve(options.max_step_tokens);
    }
    // A tree's tails may be as long as its tokens are many; sequences may share blocks, so that
    // their tables hold more than the pool. Memory that is never written costs nothing.
    storage.tail_slots.reserve(options.max_step_tokens * (options.max_step_tokens + 1) / 2);
    storage.block_tables.reserve(std::min(options.max_sequences, options.max_step_tokens) *
                                 (BlocksFor(options.capacity) + 1));
  }
  for (size_t layer = 0; layer < shape.layers.size(); ++layer) {
    const int32_t window = WindowOf(shape, shape.layers[layer]);
    const auto kind = static_cast<int>(std::ranges::find(windows, window) - windows.begin());
    kind_of_layer_.push_back(kind);
    kinds_[kind].layers.push_back(static_cast<int64_t>(layer));
  }
  runs_.reserve(options.max_step_tokens);
}

int64_t KvCache::BytesFor(const KvShape& shape, const KvOptions& options) {
  int64_t bytes = 0;
  for (const AttentionKind kind : shape.layers) {
    const kernels::KvPoolView view = PoolView(shape, options, WindowOf(shape, kind));
    bytes = std::min(kUnboundedBytes, bytes + view.num_blocks * view.block_bytes());
  }
  return bytes;
}

absl::StatusOr<std::unique_ptr<KvCache>> KvCache::Create(const KvShape& shape,
                                                         const KvOptions& options,
                                                         kernels::Backend& backend) {
  if (options.dtype == kernels::DType::kQ8_0 && shape.head_dim % 32 != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("a q8 KV cache needs heads of a multiple of 32, this model's have ",
                     shape.head_dim, ": use --kv-type f16"));
  }
  std::unique_ptr<KvCache> cache(new KvCache(shape, options));
  cache->backend_ = &backend;
  for (size_t layer = 0; layer < shape.layers.size(); ++layer) {
    const kernels::KvPoolView view = PoolView(shape, options, cache->window(layer));
    POTLUCK_ASSIGN_OR_RETURN(
        auto pool, backend.Allocate(view.num_blocks * view.block_bytes(), "the KV cache"));
    cache->pools_.push_back(std::move(pool));
  }
  return cache;
}

kernels::KvPoolView KvCache::pool(int64_t layer) const {
  kernels::KvPoolView view = PoolView(shape_, options_, window(layer));
  view.buffer = pools_[layer].get();
  return view;
}

int64_t KvCache::size_bytes() const {
  int64_t bytes = 0;
  for (const auto& pool : pools_) bytes += pool->size_bytes();
  return bytes;
}

int64_t KvCache::num_used_blocks() const {
  int64_t used = 0;
  for (const Kind& kind : kinds_) used += kind.blocks.num_used();
  return used;
}

absl::StatusOr<KvCache::Sequence*> KvCache::FindSequence(SequenceId sequence) {
  const auto found = sequences_.find(sequence);
  if (found == sequences_.end()) return NoSequence(sequence);
  return found->second.get();
}

absl::StatusOr<int32_t> KvCache::Length(SequenceId sequence) const {
  const auto found = sequences_.find(sequence);
  if (found == sequences_.end()) return NoSequence(sequence);
  return found->second->length();
}

absl::StatusOr<std::span<const TokenId>> KvCache::Tokens(SequenceId sequence) const {
  const auto found = sequences_.find(sequence);
  if (found == sequences_.end()) return NoSequence(sequence);
  return std::span<const TokenId>(found->second->tokens);
}

std::vector<SequenceId> KvCache::Sequences() const {
  std::vector<SequenceId> ids;
  for (const auto& [id, sequence] : sequences_) ids.push_back(id);
  return ids;
}

// --- Steps ---------------------------------------------------------------------------------------

absl::Status KvCache::Place(const Step& step) {
  if (static_cast<int64_t>(step.tokens.size()) > options_.max_step_tokens) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a step of ", step.tokens.size(), " tokens; at most ", options_.max_step_tokens, " fit"));
  }
  POTLUCK_RETURN_IF_ERROR(SplitIntoRuns(step));
  for (const Run& run : runs_) POTLUCK_RETURN_IF_ERROR(CheckRun(step, run));
  POTLUCK_RETURN_IF_ERROR(CheckRoom());
  for (Kind& kind : kinds_) {
    IndexStorage& storage = kind.storage;
    for (auto* numbers : {&storage.position, &storage.write_slot, &storage.linear_len,
                          &storage.tail_begin, &storage.table_begin, &storage.table_length,
                          &storage.tail_slots, &storage.block_tables}) {
      numbers->clear();
    }
  }
  for (const Run& run : runs_) POTLUCK_RETURN_IF_ERROR(PlaceRun(run));
  for (size_t kind = 0; kind < kinds_.size(); ++kind) {
    for (const Run& run : runs_) FillIndex(step, run, static_cast<int>(kind));
    const IndexStorage& storage = kinds_[kind].storage;
    kinds_[kind].index = {.position = storage.position,
                          .write_slot = storage.write_slot,
                          .linear_len = storage.linear_len,
                          .tail_begin = storage.tail_begin,
                          .table_begin = storage.table_begin,
                          .table_length = storage.table_length,
                          .tail_slots = storage.tail_slots,
                          .block_tables = storage.block_tables};
  }
  return absl::OkStatus();
}

absl::Status KvCache::SplitIntoRuns(const Step& step) {
  runs_.clear();
  for (size_t i = 0; i < step.tokens.size(); ++i) {
    const StepToken& token = step.tokens[i];
    if (i == 0 || token.sequence != step.tokens[i - 1].sequence) {
      POTLUCK_ASSIGN_OR_RETURN(Sequence * sequence, FindSequence(token.sequence));
      for (const Run& earlier : runs_) {
        if (earlier.sequence == sequence) {
          return absl::InvalidArgumentError(absl::StrCat("the tokens of sequence ", token.sequence,
                                                         " do not stand together in the step"));
        }
      }
      runs_.push_back({.begin = i, .end = i, .first_draft = i, .sequence = sequence});
    }
    runs_.back().end = i + 1;
    if (token.kind != TokenKind::kDraft) runs_.back().first_draft = i + 1;
  }
  return absl::OkStatus();
}

absl::Status KvCache::CheckRun(const Step& step, const Run& run) const {
  const int32_t committed = run.sequence->length();
  for (size_t i = run.begin; i < run.end; ++i) {
    const StepToken& token = step.tokens[i];
    const auto error = [&](absl::string_view what) {
      return absl::InvalidArgumentError(
          absl::StrCat("token ", i, " of the step (sequence ", token.sequence, "): ", what));
    };
    const bool draft = token.kind == TokenKind::kDraft;
    if (draft != (i >= run.first_draft))
      return error("drafts come after prompt and generated tokens");
    // Where the run has tokens that are no drafts, drafts hang below the last of them.
    const auto parent = static_cast<int64_t>(token.parent);
    const int64_t first_parent =
        run.first_draft > run.begin ? static_cast<int64_t>(run.first_draft) - 1 : -1;
    const bool chained = i == run.begin ? token.parent == kCommittedEnd
                         : draft ? (parent >= first_parent && parent < static_cast<int64_t>(i) &&
                                    (parent == -1 || parent >= static_cast<int64_t>(run.begin)))
                                 : parent == static_cast<int64_t>(i) - 1;
    if (!chained) return error(absl::StrCat("parent ", token.parent, " is none that it may have"));
    const int32_t before = parent == kCommittedEnd ? committed - 1 : step.tokens[parent].position;
    if (token.position != before + 1) {
      return error(
          absl::StrCat("position ", token.position, " does not follow its parent's ", before));
    }
    if (token.adapter_slot != run.sequence->adapter_slot)
      return error("its adapter is not its sequence's");
  }
  return absl::OkStatus();
}

int32_t KvCache::BlocksNeeded(int kind_number, size_t run_number) const {
  const Run& run = runs_[run_number];
  const std::vector<BlockId>& table = run.sequence->tables[kind_number];
  const int32_t first_slot = run.sequence->length();
  const auto last_slot = static_cast<int32_t>(first_slot + run.end - run.begin - 1);
  int32_t needed =
      std::max<int32_t>(0, last_slot / kBlock + 1 - static_cast<int32_t>(table.size()));
  for (size_t i = first_slot / kBlock; i < table.size(); ++i) {
    // Of the users of a block that all write into it, the last one keeps it.
    const int32_t users = kinds_[kind_number].blocks.users(table[i]);
    if (users > 1 && EarlierWriters(kind_number, run_number, i) + 1 < users) ++needed;
  }
  return needed;
}

int32_t KvCache::EarlierWriters(int kind_number, size_t run_number, size_t block_index) const {
  const BlockId block = runs_[run_number].sequence->tables[kind_number][block_index];
  int32_t writers = 0;
  for (size_t i = 0; i < run_number; ++i) {
    const Sequence& earlier = *runs_[i].sequence;
    const std::vector<BlockId>& table = earlier.tables[kind_number];
    // Sequences that share a block have it at the same place of their tables.
    if (block_index < table.size() && table[block_index] == block &&
        static_cast<size_t>(earlier.length() / kBlock) <= block_index)
      ++writers;
  }
  return writers;
}

absl::Status KvCache::CheckRoom() const {
  for (size_t kind = 0; kind < kinds_.size(); ++kind) {
    int32_t needed = 0;
    for (size_t run = 0; run < runs_.size(); ++run)
      needed += BlocksNeeded(static_cast<int>(kind), run);
    if (needed > kinds_[kind].blocks.num_available()) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the KV cache is full: ", needed, " more blocks of ", kBlock,
                       " positions are needed, ", kinds_[kind].blocks.num_available(), " of ",
                       kinds_[kind].blocks.num_blocks(), " are free"));
    }
  }
  return absl::OkStatus();
}

absl::Status KvCache::PlaceRun(const Run& run) {
  Sequence& sequence = *run.sequence;
  sequence.drafts.clear();
  const int32_t first_slot = sequence.length();
  const auto last_slot = static_cast<int32_t>(first_slot + run.end - run.begin - 1);
  for (size_t kind = 0; kind < kinds_.size(); ++kind) {
    std::vector<BlockId>& table = sequence.tables[kind];
    for (size_t i = first_slot / kBlock; i < table.size(); ++i) {
      POTLUCK_RETURN_IF_ERROR(
          MakeWritable(sequence, static_cast<int>(kind), static_cast<int64_t>(i)));
    }
    while (static_cast<int32_t>(table.size()) <= last_slot / kBlock)
      table.push_back(TakeBlock(static_cast<int>(kind)));
  }
  return absl::OkStatus();
}

void KvCache::FillIndex(const Step& step, const Run& run, int kind_number) {
  IndexStorage& storage = kinds_[kind_number].storage;
  const std::vector<BlockId>& table = run.sequence->tables[kind_number];
  const auto table_begin = static_cast<int32_t>(storage.block_tables.size());
  storage.block_tables.insert(storage.block_tables.end(), table.begin(), table.end());
  const int32_t committed = run.sequence->length();
  for (size_t i = run.begin; i < run.end; ++i) {
    const StepToken& token = step.tokens[i];
    const auto slot = static_cast<int32_t>(committed + i - run.begin);
    const bool parent_linear =
        token.parent == kCommittedEnd || storage.linear_len[token.parent] == token.position;
    const int32_t parent_linear_len =
        token.parent == kCommittedEnd ? committed : storage.linear_len[token.parent];
    const bool linear = parent_linear && slot == token.position;
    storage.position.push_back(token.position);
    storage.write_slot.push_back(slot);
    storage.linear_len.push_back(linear ? token.position + 1 : parent_linear_len);
    storage.table_begin.push_back(table_begin);
    storage.table_length.push_back(static_cast<int32_t>(table.size()));
    // The ancestors that lie elsewhere than at their position, oldest first, and the token itself.
    const auto tail_begin = static_cast<int32_t>(storage.tail_slots.size());
    const int32_t tail_length = token.position + 1 - storage.linear_len.back();
    storage.tail_begin.push_back(tail_begin);
    storage.tail_slots.resize(tail_begin + tail_length);
    auto ancestor = static_cast<int32_t>(i);
    for (int32_t j = tail_length - 1; j >= 0; --j) {
      storage.tail_slots[tail_begin + j] = storage.write_slot[ancestor];
      ancestor = step.tokens[ancestor].parent;
    }
  }
}

void KvCache::Commit(const Step& step) {
  for (const Run& run : runs_) {
    Sequence& sequence = *run.sequence;
    for (size_t i = run.begin; i < run.first_draft; ++i)
      sequence.tokens.push_back(step.tokens[i].id);
    for (size_t i = run.first_draft; i < run.end; ++i) {
      const auto parent =
          static_cast<int32_t>(step.tokens[i].parent - static_cast<int64_t>(run.first_draft));
      sequence.drafts.push_back({step.tokens[i].id, std::max(-1, parent)});
    }
    // Earlier drafts that nobody accepted may have reached further.
    CutTables(sequence, sequence.length() + static_cast<int32_t>(sequence.drafts.size()));
    IndexFullBlocks(sequence);
    ReleaseBehindWindow(sequence);
  }
  runs_.clear();
}

// --- Blocks --------------------------------------------------------------------------------------

BlockId KvCache::TakeBlock(int kind_number) {
  const auto taken = kinds_[kind_number].blocks.Take();
  POTLUCK_CHECK(taken.has_value());  // CheckRoom has counted
  if (taken->evicted != 0) prefixes_.RemoveBlock(taken->evicted, kind_number);
  return taken->block;
}

absl::Status KvCache::MakeWritable(Sequence& sequence, int kind_number, int64_t block_index) {
  Kind& kind = kinds_[kind_number];
  BlockId& block = sequence.tables[kind_number][block_index];
  if (kind.blocks.Writable(block)) return absl::OkStatus();
  if (kind.blocks.users(block) == 1) {  // only an old prefix holds it: that one is forgotten
    prefixes_.RemoveBlock(kind.blocks.prefix(block), kind_number);
    kind.blocks.SetPrefix(block, 0);
    return absl::OkStatus();
  }
  const BlockId copy = TakeBlock(kind_number);
  POTLUCK_RETURN_IF_ERROR(CopyBlock(kind, block, copy));
  kind.blocks.RemoveUser(block);
  block = copy;
  return absl::OkStatus();
}

absl::Status KvCache::CopyBlock(const Kind& kind, BlockId from, BlockId to) {
  for (const int64_t layer : kind.layers) {
    const int64_t bytes = pool(layer).block_bytes();
    POTLUCK_RETURN_IF_ERROR(
        backend_->Copy(*pools_[layer], from * bytes, *pools_[layer], to * bytes, bytes));
  }
  return absl::OkStatus();
}

absl::Status KvCache::CopyRow(const Kind& kind, const std::vector<BlockId>& table,
                              int32_t from_slot, int32_t to_slot) {
  for (const int64_t layer : kind.layers) {
    const kernels::KvPoolView view = pool(layer);
    const int64_t row_bytes = view.head_bytes() / kBlock;
    const auto offset = [&](int32_t slot, int64_t head) {
      return table[slot / kBlock] * view.block_bytes() + head * view.head_bytes() +
             slot % kBlock * row_bytes;
    };
    for (int64_t head = 0; head < 2 * view.num_kv_heads; ++head) {  // those of K, then those of V
      POTLUCK_RETURN_IF_ERROR(backend_->Copy(*view.buffer, offset(from_slot, head), *view.buffer,
                                             offset(to_slot, head), row_bytes));
    }
  }
  return absl::OkStatus();
}

void KvCache::CutTables(Sequence& sequence, int32_t length) {
  for (size_t kind = 0; kind < kinds_.size(); ++kind) {
    std::vector<BlockId>& table = sequence.tables[kind];
    while (static_cast<int64_t>(table.size()) > BlocksFor(length)) {
      if (table.back() != kReleasedBlock) kinds_[kind].blocks.RemoveUser(table.back());
      table.pop_back();
    }
  }
}

void KvCache::ReleaseBehindWindow(Sequence& sequence) {
  for (size_t kind = 0; kind < kinds_.size(); ++kind) {
    const int32_t first_visible = FirstVisible(kinds_[kind].window, sequence.length());
    std::vector<BlockId>& table = sequence.tables[kind];
    for (int32_t i = first_visible / kBlock - 1; i >= 0 && table[i] != kReleasedBlock; --i) {
      kinds_[kind].blocks.RemoveUser(table[i]);
      table[i] = kReleasedBlock;
    }
  }
}

void KvCache::IndexFullBlocks(Sequence& sequence) {
  for (size_t i = sequence.nodes.size(); i < static_cast<size_t>(sequence.length() / kBlock); ++i) {
    const PrefixNodeId parent =
        i == 0 ? PrefixIndex::Root(sequence.adapter_slot) : sequence.nodes[i - 1];
    PrefixIndex::Node* node =
        prefixes_.Insert(parent, std::span(sequence.tokens).subspan(i * kBlock, kBlock));
    for (size_t kind = 0; kind < kinds_.size(); ++kind) {
      const BlockId block = sequence.tables[kind][i];
      if (node->blocks[kind] != kReleasedBlock || block == kReleasedBlock) continue;
      node->blocks[kind] = block;
      kinds_[kind].blocks.SetPrefix(block, node->id);
    }
    sequence.nodes.push_back(node->id);
  }
}

// --- Sequences -----------------------------------------------------------------------------------

// Whether a sequence that ends with the last of these nodes has all the blocks that its next token
// sees.
bool KvCache::Reusable(std::span<const PrefixIndex::Node* const> nodes) const {
  const auto length = static_cast<int32_t>(nodes.size()) * kBlock;
  for (size_t kind = 0; kind < kinds_.size(); ++kind) {
    for (size_t i = FirstVisible(kinds_[kind].window, length) / kBlock; i < nodes.size(); ++i) {
      if (nodes[i]->blocks[kind] == kReleasedBlock) return false;
    }
  }
  return true;
}

absl::StatusOr<int32_t> KvCache::Begin(SequenceId id, std::span<const TokenId> tokens,
                                       uint16_t adapter_slot) {
  if (sequences_.contains(id))
    return absl::InvalidArgumentError(absl::StrCat("sequence ", id, " exists already"));
  if (static_cast<int64_t>(sequences_.size()) >= options_.max_sequences) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the KV cache holds ", options_.max_sequences, " sequences already"));
  }
  auto sequence = std::make_unique<Sequence>();
  sequence->adapter_slot = adapter_slot;
  std::vector<const PrefixIndex::Node*> nodes;
  PrefixNodeId parent = PrefixIndex::Root(adapter_slot);
  // The last token is always computed: its logits are what the caller is after.
  const size_t usable_blocks = tokens.empty() ? 0 : (tokens.size() - 1) / kBlock;
  for (size_t i = 0; i < usable_blocks; ++i) {
    const PrefixIndex::Node* node = prefixes_.Find(parent, tokens.subspan(i * kBlock, kBlock));
    if (node == nullptr) break;
    nodes.push_back(node);
    parent = node->id;
  }
  while (!nodes.empty() && !Reusable(nodes)) nodes.pop_back();

  const auto length = static_cast<int32_t>(nodes.size()) * kBlock;
  for (size_t kind = 0; kind < kinds_.size(); ++kind) {
    const size_t first_needed = FirstVisible(kinds_[kind].window, length) / kBlock;
    for (size_t i = 0; i < nodes.size(); ++i) {
      const BlockId block = i < first_needed ? kReleasedBlock : nodes[i]->blocks[kind];
      if (block != kReleasedBlock) kinds_[kind].blocks.AddUser(block);
      sequence->tables[kind].push_back(block);
    }
  }
  for (const PrefixIndex::Node* node : nodes) sequence->nodes.push_back(node->id);
  sequence->tokens.assign(tokens.begin(), tokens.begin() + length);
  sequence->tokens.reserve(options_.capacity);
  sequence->drafts.reserve(options_.max_step_tokens);
  for (auto& table : sequence->tables) table.reserve(BlocksFor(options_.capacity) + 1);
  sequence->nodes.reserve(BlocksFor(options_.capacity));
  sequences_.emplace(id, std::move(sequence));
  return length;
}

absl::Status KvCache::Apply(const KvCommand& command) {
  if (const auto* trim = std::get_if<TrimCommand>(&command)) return Trim(*trim);
  if (const auto* fork = std::get_if<ForkCommand>(&command)) return Fork(*fork);
  if (const auto* accept = std::get_if<AcceptCommand>(&command)) return Accept(*accept);
  return Free(std::get<FreeCommand>(command));
}

absl::Status KvCache::CheckCut(const Sequence& sequence, int32_t length) const {
  if (length < 0 || length > sequence.length()) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot keep ", length, " tokens of a sequence of ", sequence.length()));
  }
  for (size_t kind = 0; kind < kinds_.size(); ++kind) {
    const int32_t first = FirstVisible(kinds_[kind].window, length) / kBlock;
    if (first * kBlock < length && sequence.tables[kind][first] == kReleasedBlock) {
      return absl::FailedPreconditionError(absl::StrCat(
          "position ", length, " is out of reach: layers with a window of ", kinds_[kind].window,
          " have given back what it sees. Free the sequence and compute it again"));
    }
  }
  return absl::OkStatus();
}

absl::Status KvCache::Trim(const TrimCommand& command) {
  POTLUCK_ASSIGN_OR_RETURN(Sequence * sequence, FindSequence(command.sequence));
  POTLUCK_RETURN_IF_ERROR(CheckCut(*sequence, command.length));
  sequence->drafts.clear();
  sequence->tokens.resize(command.length);
  sequence->nodes.resize(std::min<size_t>(sequence->nodes.size(), command.length / kBlock));
  CutTables(*sequence, command.length);
  return absl::OkStatus();
}

absl::Status KvCache::Fork(const ForkCommand& command) {
  POTLUCK_ASSIGN_OR_RETURN(Sequence * from, FindSequence(command.from));
  POTLUCK_RETURN_IF_ERROR(CheckCut(*from, command.length));
  POTLUCK_RETURN_IF_ERROR(Begin(command.to, {}, from->adapter_slot).status());
  Sequence& to = *sequences_.at(command.to);
  to.tokens.assign(from->tokens.begin(), from->tokens.begin() + command.length);
  to.nodes.assign(
      from->nodes.begin(),
      from->nodes.begin() + std::min<size_t>(from->nodes.size(), command.length / kBlock));
  for (size_t kind = 0; kind < kinds_.size(); ++kind) {
    to.tables[kind].assign(from->tables[kind].begin(),
                           from->tables[kind].begin() + BlocksFor(command.length));
    for (const BlockId block : to.tables[kind]) {
      if (block != kReleasedBlock) kinds_[kind].blocks.AddUser(block);
    }
  }
  return absl::OkStatus();
}

absl::Status KvCache::Accept(const AcceptCommand& command) {
  POTLUCK_ASSIGN_OR_RETURN(Sequence * sequence, FindSequence(command.sequence));
  int32_t parent = -1;
  for (const int32_t draft : command.path) {
    if (draft < 0 || draft >= static_cast<int32_t>(sequence->drafts.size()) ||
        sequence->drafts[draft].parent != parent) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the accepted path has draft ", draft, ", which does not follow draft ", parent,
          " among the ", sequence->drafts.size(), " of sequence ", command.sequence));
    }
    parent = draft;
  }
  const int32_t committed = sequence->length();
  for (size_t j = 0; j < command.path.size(); ++j) {
    const auto to_slot = static_cast<int32_t>(committed + j);
    const int32_t from_slot = committed + command.path[j];
    for (size_t kind = 0; kind < kinds_.size(); ++kind) {
      if (from_slot == to_slot) continue;
      POTLUCK_RETURN_IF_ERROR(CopyRow(kinds_[kind], sequence->tables[kind], from_slot, to_slot));
    }
    sequence->tokens.push_back(sequence->drafts[command.path[j]].id);
  }
  sequence->drafts.clear();
  CutTables(*sequence, sequence->length());
  IndexFullBlocks(*sequence);
  ReleaseBehindWindow(*sequence);
  return absl::OkStatus();
}

absl::Status KvCache::Free(const FreeCommand& command) {
  POTLUCK_ASSIGN_OR_RETURN(Sequence * sequence, FindSequence(command.sequence));
  // From the end: of a kept prefix, the last blocks are the first whose space is used again.
  CutTables(*sequence, 0);
  sequences_.erase(command.sequence);
  return absl::OkStatus();
}

}  // namespace potluck::model
