#include "tests/coordinator/scheduler/fake_pipeline.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"

namespace potluck::coordinator {
namespace {

uint64_t Mix(uint64_t h, uint64_t value) {
  h ^= value + 0x9e3779b97f4a7c15ull + (h << 6) + (h >> 2);
  h *= 0xff51afd7ed558ccdull;
  return h ^ (h >> 33);
}

uint64_t Extend(uint64_t hash, model::TokenId id, model::TokenKind kind, int64_t position) {
  return Mix(Mix(Mix(hash, static_cast<uint64_t>(id)), static_cast<uint64_t>(kind)),
             static_cast<uint64_t>(position));
}

}  // namespace

model::TokenId PickToken(uint64_t hash, uint64_t seed) {
  return static_cast<model::TokenId>(Mix(hash, seed) % kFakeVocab);
}

std::vector<model::TokenId> ReferenceAnswer(const SequenceRequest& request,
                                            int64_t context_length) {
  uint64_t hash = 1;
  int64_t position = 0;
  for (const model::TokenId id : request.prompt)
    hash = Extend(hash, id, model::TokenKind::kPrompt, position++);
  std::vector<model::TokenId> answer;
  while (static_cast<int64_t>(answer.size()) != request.max_tokens && position < context_length) {
    const model::TokenId token = PickToken(hash, request.sampling.seed);
    if (std::ranges::find(request.end_tokens, token) != request.end_tokens.end()) break;
    answer.push_back(token);
    hash = Extend(hash, token, model::TokenKind::kGenerated, position++);
  }
  return answer;
}

std::vector<float> RowOf(uint64_t hash) {
  std::vector<float> row;
  for (int64_t i = 0; i < kFakeDim; ++i)
    row.push_back(static_cast<float>((hash >> (16 * i)) & 0xffff));
  return row;
}

std::vector<float> ReferenceRows(const SequenceRequest& request) {
  uint64_t hash = 1;
  std::vector<float> rows;
  for (int64_t position = 0; position < std::ssize(request.prompt); ++position) {
    hash = Extend(hash, request.prompt[position], model::TokenKind::kPrompt, position);
    if (position < *request.rows_from) continue;
    const std::vector<float> row = RowOf(hash);
    rows.insert(rows.end(), row.begin(), row.end());
  }
  return rows;
}

// --- One stage -----------------------------------------------------------------------------------

int64_t FakeStage::num_blocks() const {
  std::vector<const int*> blocks;
  for (const auto& [id, sequence] : sequences_) {
    for (const auto& block : sequence.blocks) blocks.push_back(block.get());
  }
  std::ranges::sort(blocks);
  return std::unique(blocks.begin(), blocks.end()) - blocks.begin();
}

bool FakeStage::CanCutTo(const Sequence& sequence, int64_t length) const {
  if (length > static_cast<int64_t>(sequence.tokens.size())) return false;
  if (window_ == 0 || length == 0) return true;
  const auto released = std::max<int64_t>(0, sequence.reached + 1 - window_) / 32;
  return std::max<int64_t>(0, length + 1 - window_) / 32 >= released;
}

void FakeStage::Cut(Sequence& sequence, int64_t length) {
  sequence.tokens.resize(length);
  sequence.blocks.resize((length + 31) / 32);
}

bool FakeStage::Apply(const wire::StageCommand& command, std::string& error) {
  if (const auto* begin = std::get_if<wire::BeginCommand>(&command)) {
    const auto [made, is_new] = sequences_.try_emplace(begin->start.sequence);
    if (!is_new) return error = "a sequence is begun twice", false;
    made->second.start = begin->start;
    if (begin->fork_length > 0) {
      const auto from = sequences_.find(begin->fork_from);
      if (from == sequences_.end() || from == made) return error = "a fork of none", false;
      if (!CanCutTo(from->second, begin->fork_length))
        return error = "a fork of what is not held", false;
      made->second.tokens = from->second.tokens;
      made->second.blocks = from->second.blocks;
      made->second.reached = from->second.reached;
      Cut(made->second, begin->fork_length);
    }
    if (static_cast<int64_t>(sequences_.size()) > max_sequences_)
      return error = "too many sequences", false;
  } else if (const auto* trim = std::get_if<model::TrimCommand>(&command)) {
    const auto found = sequences_.find(trim->sequence);
    if (found == sequences_.end() || !CanCutTo(found->second, trim->length))
      return error = "a trim of what is not held", false;
    Cut(found->second, trim->length);
  } else if (const auto* free = std::get_if<model::FreeCommand>(&command)) {
    if (sequences_.erase(free->sequence) == 0) return error = "none to free", false;
  } else {
    return error = "a command that nobody had", false;
  }
  return true;
}

bool FakeStage::Run(const wire::StageFrame& frame, const Part& part, std::vector<uint64_t>& hashes,
                    std::string& error) {
  for (const wire::StageCommand& command : frame.commands) {
    if (part.ahead && !part.computes) break;
    const auto* begin = std::get_if<wire::BeginCommand>(&command);
    if (part.ahead && begin != nullptr) sequences_.erase(begin->start.sequence);
    if (!Apply(command, error)) return false;
  }
  const int64_t blocks_before = num_blocks();
  std::set<model::SequenceId> seen;
  const std::vector<model::StepToken>& tokens = frame.step.tokens;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const model::StepToken& token = tokens[i];
    const auto found = sequences_.find(token.sequence);
    const bool gone = found == sequences_.end() ||
                      (!part.computes && token.position >= std::ssize(found->second.tokens));
    if (gone && part.ahead && !part.computes) {
      hashes.clear();
      return true;
    }
    if (found == sequences_.end()) return error = "a token of no sequence", false;
    Sequence& sequence = found->second;
    const bool first = i == 0 || tokens[i - 1].sequence != token.sequence;
    if (first && !seen.insert(token.sequence).second)
      return error = "a sequence's tokens stand apart", false;
    if (token.kind != (token.position < sequence.start.prompt_length
                           ? model::TokenKind::kPrompt
                           : model::TokenKind::kGenerated))
      return error = "a token of the wrong kind", false;
    if (token.parent != (first ? model::kCommittedEnd : static_cast<int32_t>(i) - 1))
      return error = "a wrong parent", false;
    if (!part.computes) {
      if (!PassOn(sequence, token, part.passes_on, hashes[i], error)) return false;
      continue;
    }
    if (first && !frame.replaying.empty() && token.position < std::ssize(sequence.tokens)) {
      if (token.position > 0 && !CanCutTo(sequence, token.position))
        return error = "a replay out of a window's reach", false;
      Cut(sequence, token.position);
      if (token.position == 0) sequence.reached = 0;
    }
    if (!Add(sequence, token, error)) return false;
    const uint64_t hash = sequence.tokens.back().hash;
    hashes[i] = hashes[i] == 0 || hashes[i] == hash ? hash : Mix(hashes[i], hash);
    if (!part.passes_on) hashes[i] = 0;
  }
  // One block is the probe's.
  if (num_blocks() > blocks_before && num_blocks() > capacity_ / 32 + 1)
    return error = "more blocks than there are", false;
  return true;
}

bool FakeStage::Add(Sequence& sequence, const model::StepToken& token, std::string& error) {
  if (token.position != static_cast<int32_t>(sequence.tokens.size()))
    return error = absl::StrCat("position ", token.position, " after ", sequence.tokens.size()),
           false;
  if (sequence.tokens.size() % 32 == 0) {
    sequence.blocks.push_back(std::make_shared<int>());
  } else if (sequence.blocks.back().use_count() > 1) {
    if (!may_copy_) return error = "a write into a shared block", false;
    sequence.blocks.back() = std::make_shared<int>();
  }
  const uint64_t before = sequence.tokens.empty() ? 1 : sequence.tokens.back().hash;
  const uint64_t hash = Extend(before, token.id, token.kind, token.position);
  sequence.tokens.push_back({token.id, token.kind, hash});
  sequence.reached = std::max(sequence.reached, static_cast<int64_t>(sequence.tokens.size()));
  return true;
}

// `wanted`: the stage after it computes.
bool FakeStage::PassOn(const Sequence& sequence, const model::StepToken& token, bool wanted,
                       uint64_t& hash, std::string& error) const {
  if (token.wanted != model::Wanted::kNothing)
    return error = "a sample of what is not computed", false;
  if (token.position >= std::ssize(sequence.tokens) ||
      sequence.tokens[token.position].id != token.id)
    return error = "a replay of what is not held", false;
  if (wanted && token.position >= most_kept_)
    return error = "a replay of rows that are not kept", false;
  hash = wanted ? sequence.tokens[token.position].hash : 0;
  return true;
}

std::vector<wire::SequenceLength> FakeStage::Held() const {
  std::vector<wire::SequenceLength> held;
  for (const auto& [id, sequence] : sequences_) {
    const auto size = std::ssize(sequence.tokens);
    held.push_back(
        {id, static_cast<int32_t>(size), static_cast<int32_t>(std::min(size, most_kept_))});
  }
  return held;
}

std::vector<wire::SequenceLength> FakeStage::Commit(
    const std::vector<wire::Commit::Sequence>& kept) {
  std::map<model::SequenceId, Sequence> old = std::exchange(sequences_, {});
  may_copy_ |= !old.empty();
  for (const wire::Commit::Sequence& named : kept) {
    Sequence& sequence = sequences_[named.start.sequence];
    if (const auto found = old.find(named.start.sequence); found != old.end())
      sequence = std::move(found->second);
    const auto length = std::min<int64_t>(named.length, std::ssize(sequence.tokens));
    Cut(sequence, CanCutTo(sequence, length) ? length : 0);
    if (sequence.tokens.empty()) sequence.reached = 0;
    sequence.start = named.start;
  }
  return Held();
}

void FakeStage::Forget(std::mt19937_64& random) {
  for (auto& [id, sequence] : sequences_) {
    if (random() % 2 == 0) continue;
    const auto length = static_cast<int64_t>(random() % (sequence.tokens.size() + 1));
    if (CanCutTo(sequence, length)) Cut(sequence, length);
  }
}

// --- All of them ---------------------------------------------------------------------------------

void FakePipeline::Reshape(const PipelineShape& shape, size_t survivors, std::mt19937_64& random) {
  std::ranges::shuffle(stages_, random);
  stages_.resize(std::min({stages_.size(), survivors, shape.stages.size()}),
                 FakeStage(shape.kv_capacity, shape.max_sequences, window_));
  stages_.resize(shape.stages.size(), FakeStage(shape.kv_capacity, shape.max_sequences, window_));
  for (FakeStage& stage : stages_) {
    if (random() % 3 > 0) stage.KeepRows(random() % 3 == 0 ? random() % 200 : 1 << 20);
  }
  std::ranges::shuffle(stages_, random);
  BeginEpoch(shape);
}

void FakePipeline::Replace(const PipelineShape& shape, size_t stage) {
  stages_[stage] = FakeStage(shape.kv_capacity, shape.max_sequences, window_);
  BeginEpoch(shape);
}

void FakePipeline::BeginEpoch(const PipelineShape& shape) {
  shape_ = shape;
  queues_.assign(stages_.size(), {});
  last_number_.assign(stages_.size(), 0);
  results_.clear();
  in_flight_.clear();
  broken_ = told_ = false;
}

std::vector<std::vector<wire::SequenceLength>> FakePipeline::Commit(
    const std::vector<wire::Commit::Sequence>& kept) {
  std::vector<std::vector<wire::SequenceLength>> held;
  std::set<model::SequenceId> names;
  for (const wire::Commit::Sequence& sequence : kept) names.insert(sequence.start.sequence);
  if (names.size() != kept.size()) errors_.push_back("a sequence is named twice");
  if (std::ssize(kept) >= shape_.max_sequences) errors_.push_back("too many sequences are kept");
  for (FakeStage& stage : stages_) held.push_back(stage.Commit(kept));
  return held;
}

void FakePipeline::Send(wire::StageFrame frame) {
  if (frame.step.epoch != shape_.epoch) errors_.push_back("a frame of another epoch");
  if (std::ssize(frame.step.tokens) > shape_.max_tokens)
    errors_.push_back("a step with too many tokens");
  for (const wire::StageCommand& command : frame.commands) {
    if (const auto* begin = std::get_if<wire::BeginCommand>(&command))
      seeds_[begin->start.sequence] = begin->start.sampling.seed;
  }
  std::vector<uint64_t>& seeds = in_flight_[frame.step.number];
  for (const model::StepToken& token : frame.step.tokens) seeds.push_back(seeds_[token.sequence]);
  if (in_flight_.size() > stages_.size() + 1) errors_.push_back("too many steps in flight");
  const size_t size = frame.step.tokens.size();
  queues_[0].push_back({std::move(frame), std::vector<uint64_t>(size)});
}

bool FakePipeline::Advance(std::mt19937_64& random) {
  std::vector<size_t> waiting;
  for (size_t i = 0; i < queues_.size(); ++i) {
    if (!queues_[i].empty()) waiting.push_back(i);
  }
  if (waiting.empty()) return false;
  const size_t at = waiting[random() % waiting.size()];
  Travelling now = std::move(queues_[at].front());
  queues_[at].pop_front();
  const int64_t number = now.frame.step.number;
  if (number != last_number_[at] + 1) {
    Fail(at, number, absl::FailedPreconditionError("a gap between steps"), random);
    return true;
  }
  last_number_[at] = number;
  const absl::Status failure = std::exchange(fail_next_, absl::OkStatus());
  broken_ |= !failure.ok();
  const auto computes = [&](size_t stage) {
    const auto& replaying = now.frame.replaying;
    return replaying.empty() || std::ranges::count(replaying, static_cast<int32_t>(stage)) > 0;
  };
  const FakeStage::Part part{.computes = computes(at),
                             .passes_on = computes(at + 1 == stages_.size() ? at : at + 1)};
  num_passed_ += part.computes ? 0 : std::ssize(now.frame.step.tokens);
  std::string error;
  const bool lacks_rows = at > 0 && part.computes && std::ranges::count(now.hashes, 0u) > 0;
  if (lacks_rows) errors_.push_back("rows did not come");
  if (!failure.ok() && !absl::IsUnavailable(failure)) {
    Fail(at, number, failure, random);
  } else if (!stages_[at].Run(now.frame, part, now.hashes, error)) {
    Fail(at, number, absl::InvalidArgumentError(absl::StrCat("stage ", at, ": ", error)), random);
  } else if (!failure.ok()) {  // it was run, and could not be passed on
    Fail(at, number, failure, random);
  } else if (at + 1 < queues_.size()) {
    queues_[at + 1].push_back(std::move(now));
  } else {
    results_.emplace_back(at, Answer(now));
    broken_ |= !results_.back().second.status.ok();
  }
  return true;
}

// Each stage has a link of its own: what it says may overtake what others have said.
void FakePipeline::Fail(size_t stage, int64_t number, absl::Status status,
                        std::mt19937_64& random) {
  if (!broken_) errors_.push_back(absl::StrCat("step ", number, ": ", status.ToString()));
  auto place = results_.end();
  while (place != results_.begin() && std::prev(place)->first != stage && random() % 2 == 0)
    --place;
  results_.insert(place, {stage, {.epoch = shape_.epoch, .number = number, .status = status}});
}

wire::StepResult FakePipeline::Answer(const Travelling& travelling) {
  wire::StepResult result{.epoch = shape_.epoch, .number = travelling.frame.step.number};
  const auto& tokens = travelling.frame.step.tokens;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].wanted == model::Wanted::kHidden) {
      const std::vector<float> row = RowOf(travelling.hashes[i]);
      result.hidden.insert(result.hidden.end(), row.begin(), row.end());
    }
    if (tokens[i].wanted != model::Wanted::kSample) continue;
    if (i + 1 < tokens.size() && tokens[i + 1].sequence == tokens[i].sequence)
      errors_.push_back("a sample in the midst of a chunk");
    // What the last stage was told, not what the test knows.
    const uint64_t seed = stages_.back().start_of(tokens[i].sequence).sampling.seed;
    if (poisoned_ != 0 && seed == poisoned_) {
      result.status = absl::InternalError("a logit is NaN");
      result.tokens.clear();
      result.hidden.clear();
      return result;
    }
    result.tokens.push_back({.sequence = tokens[i].sequence,
                             .position = tokens[i].position + 1,
                             .id = PickToken(travelling.hashes[i], seed)});
  }
  if (std::ssize(result.tokens) > shape_.max_outputs) errors_.push_back("too many outputs");
  const double seconds = std::max(0.010, 0.001 * static_cast<double>(tokens.size()));
  result.timings.resize(stages_.size(), {.computing_seconds = seconds});
  return result;
}

std::optional<wire::StepResult> FakePipeline::TakeResult() {
  if (results_.empty()) return std::nullopt;
  wire::StepResult result = std::move(results_.front().second);
  results_.pop_front();
  told_ |= !result.status.ok();
  if (!told_) in_flight_.erase(result.number);  // after an error nobody listens
  return result;
}

std::vector<uint64_t> FakePipeline::InFlight() const {
  std::vector<uint64_t> seeds;
  for (const auto& [number, of] : in_flight_) seeds.insert(seeds.end(), of.begin(), of.end());
  std::ranges::sort(seeds);
  seeds.erase(std::unique(seeds.begin(), seeds.end()), seeds.end());
  return seeds;
}

}  // namespace potluck::coordinator
