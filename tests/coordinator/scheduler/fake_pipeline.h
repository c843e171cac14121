// Stages whose model is a hash: of the exact tokens that a sequence holds on every stage, with
// their positions and kinds. A lost, doubled, reordered or misplaced token anywhere changes every
// later one. Each stage checks every command and token against a plain KV model of its own, in
// blocks that forks share; what it does not allow is noted in errors(). The last one samples with
// what it was told of the sequence, not with what the test knows.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "coordinator/scheduler/instance_scheduler.h"
#include "wire/messages.h"

namespace potluck::coordinator {

inline constexpr int64_t kFakeVocab = 1000;
inline constexpr int64_t kFakeDim = 4;

// The next token after all that the hash was made of.
model::TokenId PickToken(uint64_t hash, uint64_t seed);
// What the pipeline must answer, told from the request alone; without the end token.
std::vector<model::TokenId> ReferenceAnswer(const SequenceRequest& request, int64_t context_length);
// A token's row: the hash of it and all before, 16 bits a number.
std::vector<float> RowOf(uint64_t hash);
// All rows of a request that wants some.
std::vector<float> ReferenceRows(const SequenceRequest& request);

class FakeStage {
 public:
  FakeStage(int64_t capacity, int64_t max_sequences, int64_t window)
      : capacity_(capacity), max_sequences_(max_sequences), window_(window) {}

  // What StagePart says.
  struct Part {
    bool computes = true, passes_on = true, ahead = false;
  };
  // Adds this stage's hash of each token's prefix, 0 where it passes nothing on; none at all for a
  // step that it leaves out. False: what is wrong is in `error`.
  bool Run(const wire::StageFrame& frame, const Part& part, std::vector<uint64_t>& hashes,
           std::string& error);
  std::vector<wire::SequenceLength> Commit(const std::vector<wire::Commit::Sequence>& kept);
  std::vector<wire::SequenceLength> Held() const;
  // Loses the end of some sequences, as a stage that had not come so far.
  void Forget(std::mt19937_64& random);
  // Rows of so many positions of each sequence stay for replays.
  void KeepRows(int64_t most) { most_kept_ = most; }

  int64_t num_blocks() const;
  size_t num_sequences() const { return sequences_.size(); }
  const wire::SequenceStart& start_of(model::SequenceId sequence) const {
    return sequences_.at(sequence).start;
  }

 private:
  struct Token {
    model::TokenId id;
    model::TokenKind kind;
    uint64_t hash;  // of it and all before
  };
  struct Sequence {
    wire::SequenceStart start;
    std::vector<Token> tokens;
    std::vector<std::shared_ptr<int>> blocks;
    int64_t reached = 0;
  };
  bool Apply(const wire::StageCommand& command, std::string& error);
  bool Add(Sequence& sequence, const model::StepToken& token, std::string& error);
  bool PassOn(const Sequence& sequence, const model::StepToken& token, bool wanted, uint64_t& hash,
              std::string& error) const;
  bool CanCutTo(const Sequence& sequence, int64_t length) const;
  static void Cut(Sequence& sequence, int64_t length);

  int64_t capacity_, max_sequences_, window_;
  int64_t most_kept_ = 0;
  // After a change of plan a stage may share what others have had to compute apart.
  bool may_copy_ = false;
  std::map<model::SequenceId, Sequence> sequences_;
};

class FakePipeline {
 public:
  explicit FakePipeline(int64_t window = 0) : window_(window) {}

  // A pipeline of `num_stages`; `survivors` of the old ones stay, in random places.
  void Reshape(const PipelineShape& shape, size_t survivors, std::mt19937_64& random);
  // The same pipeline with a new stage in this place.
  void Replace(const PipelineShape& shape, size_t stage);
  std::vector<std::vector<wire::SequenceLength>> Commit(
      const std::vector<wire::Commit::Sequence>& kept);
  void Send(wire::StageFrame frame);
  // One random stage runs one frame; false if none waits.
  bool Advance(std::mt19937_64& random);
  std::optional<wire::StepResult> TakeResult();
  // Requests (their seeds) with tokens in frames that have not come back.
  std::vector<uint64_t> InFlight() const;

  std::vector<FakeStage>& stages() { return stages_; }
  const std::vector<std::string>& errors() const { return errors_; }
  // A request whose sample fails.
  void Poison(uint64_t seed) { poisoned_ = seed; }
  // The next step that a stage runs fails there or, Unavailable, cannot be passed on. What follows
  // finds a gap, or lengths that do not fit; of a gap the coordinator may hear first.
  void FailNext(absl::Status status) { fail_next_ = std::move(status); }
  // Tokens that some stage did not compute, by stage added up.
  int64_t num_passed() const { return num_passed_; }

 private:
  struct Travelling {
    wire::StageFrame frame;
    std::vector<uint64_t> hashes;
  };
  wire::StepResult Answer(const Travelling& travelling);
  void BeginEpoch(const PipelineShape& shape);
  void Fail(size_t stage, int64_t number, absl::Status status, std::mt19937_64& random);

  int64_t window_;
  PipelineShape shape_;
  std::vector<FakeStage> stages_;
  std::vector<std::deque<Travelling>> queues_;
  std::deque<std::pair<size_t, wire::StepResult>> results_;  // with who said them
  std::vector<int64_t> last_number_;
  std::vector<std::string> errors_;
  std::map<int64_t, std::vector<uint64_t>> in_flight_;
  std::map<model::SequenceId, uint64_t> seeds_;
  uint64_t poisoned_ = 0;
  int64_t num_passed_ = 0;
  absl::Status fail_next_;
  bool broken_ = false;
  bool told_ = false;  // that it is broken
};

}  // namespace potluck::coordinator
