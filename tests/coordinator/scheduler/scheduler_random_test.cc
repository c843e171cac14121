// Random lives of an instance: arrivals, cancels, slow readers, too little memory, deaths and other
// changes of plan at any moment, stages that hold less than others, steps that fail. Whatever
// happens, a request ends in exactly the reference's tokens, or in an error that it had coming.
//
// The seeds are fixed, and a failure prints its own.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "tests/coordinator/scheduler/fake_pipeline.h"

namespace potluck::coordinator {
namespace {

struct Options {
  int64_t window = 0;
  bool tight = false;    // memory for few sequences
  bool changes = false;  // of plan
  bool deaths = false;
  bool poison = false;
};

class Life {
 public:
  Life(uint64_t seed, Options options)
      : random_(seed),
        options_(options),
        scheduler_({.instance = 1,
                    .context_length = kContext,
                    .vocab_size = kFakeVocab,
                    .model_dim = kFakeDim,
                    .window = options.window,
                    .kinds_matter = true}),
        pipeline_(options.window) {
    for (auto& word : system_prompt_) word = Draw(kFakeVocab);
  }

  void Run() {
    NewEpoch(EpochEnd::kPlanned);
    for (int tick = 0; tick < 3000 && pipeline_.errors().empty(); ++tick) {
      if (Chance(40) && requests_.size() < 60) Arrive();
      if (Chance(150)) CancelOne();
      if (Chance(150)) StopOne();
      if (Chance(60)) PauseOne();
      if (options_.changes && Chance(150)) NewEpoch(EpochEnd::kPlanned);
      if (options_.deaths && Chance(700)) NewEpoch(EpochEnd::kWorkerDied);
      if (options_.changes && Chance(300))
        pipeline_.FailNext(absl::UnavailableError("a link broke"));
      Move();
    }
    Drain();
    CheckEnd();
  }

 private:
  static constexpr int64_t kContext = 300;
  struct Record {
    SequenceRequest request;
    std::vector<model::TokenId> got;
    std::vector<float> rows;
    bool paused = false, cancelled = false, stopped = false, finished = false;
    absl::Status failed;
    int deaths = 0;
    model::FinishReason reason = model::FinishReason::kCancelled;
  };

  int32_t Draw(int64_t below) {
    return static_cast<int32_t>(random_() % static_cast<uint64_t>(below));
  }
  bool Chance(int one_in) { return Draw(one_in) == 0; }

  void Arrive() {
    Record record;
    SequenceRequest& request = record.request;
    // Many begin alike.
    if (!Chance(3))
      request.prompt.assign(system_prompt_.begin(), system_prompt_.begin() + Draw(97));
    for (int32_t more = 1 + Draw(60); more > 0; --more) request.prompt.push_back(Draw(kFakeVocab));
    if (Chance(3) && !requests_.empty()) {  // a conversation goes on
      const Record& earlier = requests_.begin()->second;
      request.prompt = earlier.request.prompt;
      request.prompt.insert(request.prompt.end(), earlier.got.begin(), earlier.got.end());
      request.prompt.resize(std::min<size_t>(request.prompt.size(), kContext - 10));
      request.prompt.push_back(Draw(kFakeVocab));
    }
    request.max_tokens = Chance(5) ? -1 : Draw(100);
    if (Chance(4)) request.rows_from = Draw(std::ssize(request.prompt));
    request.sampling.seed = ++last_seed_;
    if (Chance(2)) request.end_tokens = {Draw(kFakeVocab), 7, 8, 9, 10, 11, 12};
    if (options_.poison && last_seed_ == 3) {
      pipeline_.Poison(3);
      request.max_tokens = 20;
      request.rows_from.reset();
    }
    absl::StatusOr<model::SequenceId> id = scheduler_.Submit(request);
    ASSERT_TRUE(id.ok()) << id.status();
    requests_[*id] = std::move(record);
    TakeEvents();
  }

  Record* Pick() {
    if (requests_.empty()) return nullptr;
    auto it = requests_.begin();
    std::advance(it, Draw(std::ssize(requests_)));
    picked_ = it->first;
    return &it->second;
  }
  void CancelOne() {
    Record* record = Pick();
    if (record == nullptr || record->finished || !record->failed.ok()) return;
    record->cancelled = true;
    scheduler_.Cancel(picked_);
  }
  void StopOne() {
    Record* record = Pick();
    if (record == nullptr || record->cancelled || record->finished || !record->failed.ok()) return;
    record->stopped = true;
    scheduler_.Stop(picked_);
    TakeEvents();
    EXPECT_TRUE(record->finished) << "it goes on";
  }
  void PauseOne() {
    Record* record = Pick();
    if (record == nullptr) return;
    record->paused = !record->paused;
    scheduler_.SetReaderPaused(picked_, record->paused);
  }

  void NewEpoch(EpochEnd why) {
    if (why == EpochEnd::kWorkerDied) {
      const std::vector<uint64_t> in_flight = pipeline_.InFlight();
      for (auto& [id, record] : requests_)
        record.deaths +=
            static_cast<int>(std::ranges::count(in_flight, record.request.sampling.seed));
    }
    epoch_due_ = 0;
    scheduler_.EndEpoch(why);
    TakeEvents();
    const bool other_size = first_ || (options_.changes && Chance(6));
    if (other_size) {
      shape_.kv_capacity = options_.tight ? 320 + Draw(300) : 4096 + Draw(1000);
      shape_.max_sequences = options_.tight ? 4 + Draw(4) : 40;
    }
    first_ = false;
    shape_.epoch = {1, ++epoch_};
    shape_.max_tokens = 16 + Draw(100);
    shape_.max_outputs = 1 + Draw(16);
    shape_.stages.assign(1 + Draw(4), {.decode_step_seconds = 0.01,
                                       .prefill_seconds_per_token = Chance(2) ? 0 : 0.002});
    const size_t survivors = other_size ? 0 : static_cast<size_t>(Draw(5));
    // Sometimes it does not come to Committed before the next change.
    std::vector<wire::Commit::Sequence> kept = scheduler_.BeginEpoch(shape_);
    pipeline_.Reshape(shape_, survivors, random_);
    if (Chance(4)) {
      pipeline_.Commit(kept);
      CancelOne();
      scheduler_.EndEpoch(why);
      shape_.epoch = {1, ++epoch_};
      kept = scheduler_.BeginEpoch(shape_);
      pipeline_.Reshape(shape_, shape_.stages.size(), random_);
    }
    if (Chance(2)) pipeline_.stages()[Draw(std::ssize(shape_.stages))].Forget(random_);
    const auto held = pipeline_.Commit(kept);
    if (Chance(3)) CancelOne();
    scheduler_.OnHeld(held);
    TakeEvents();
  }

  // A few things happen, in any order. False: nothing can.
  bool Move() {
    now_ += absl::Milliseconds(1);
    bool moved = epoch_due_ > 0;
    if (epoch_due_ > 0 && --epoch_due_ == 0) NewEpoch(EpochEnd::kPlanned);
    for (int i = 1 + Draw(4); i > 0; --i) {
      switch (Draw(3)) {
        case 0:
          if (auto frame = scheduler_.ComposeNext(now_)) {
            pipeline_.Send(*std::move(frame));
            moved = true;
          }
          break;
        case 1:
          moved |= pipeline_.Advance(random_);
          break;
        default:
          if (auto result = pipeline_.TakeResult()) {
            moved = true;
            if (!scheduler_.OnResult(*std::move(result), now_).ok()) epoch_due_ = 1 + Draw(8);
          }
      }
      TakeEvents();
    }
    return moved;
  }

  // Everybody reads again, nothing more happens: all must end.
  void Drain() {
    for (auto& [id, record] : requests_) {
      record.paused = false;
      scheduler_.SetReaderPaused(id, false);
    }
    int idle = 0;
    while (idle < 200 && pipeline_.errors().empty()) idle = Move() ? 0 : idle + 1;
  }

  void TakeEvents() {
    for (SchedulerEvent& event : scheduler_.TakeEvents()) {
      Record& record = requests_.at(event.sequence);
      EXPECT_FALSE(record.cancelled || record.finished || !record.failed.ok())
          << "an event after the end";
      if (event.kind == SchedulerEvent::Kind::kToken) {
        record.got.push_back(event.token);
      } else if (event.kind == SchedulerEvent::Kind::kRows) {
        record.rows.insert(record.rows.end(), event.rows.begin(), event.rows.end());
      } else if (event.kind == SchedulerEvent::Kind::kFinished) {
        record.finished = true;
        record.reason = event.reason;
        EXPECT_EQ(event.generated_tokens, std::ssize(record.got));
      } else {
        record.failed = event.status;
      }
    }
  }

  void CheckEnd() {
    CheckNoErrors();
    for (const auto& [id, record] : requests_) {
      const bool of_rows = record.request.rows_from.has_value();
      std::vector<float> wanted_rows;
      std::vector<model::TokenId> wanted;
      if (of_rows) {
        wanted_rows = ReferenceRows(record.request);
      } else {
        wanted = ReferenceAnswer(record.request, kContext);
      }
      if (record.cancelled || record.stopped || !record.failed.ok()) {
        ExpectBeginning(record.got, wanted);
        ExpectBeginning(record.rows, wanted_rows);
        if (absl::IsAborted(record.failed)) {
          EXPECT_EQ(record.deaths, 2);
        } else if (absl::IsInternal(record.failed)) {
          EXPECT_EQ(record.request.sampling.seed, 3u);
        } else {
          EXPECT_TRUE(record.cancelled || record.finished) << id << ": " << record.failed;
        }
        continue;
      }
      EXPECT_LT(record.deaths, 2);
      EXPECT_TRUE(record.finished) << "request " << id << " hangs with " << record.got.size()
                                   << " of " << wanted.size() << " tokens";
      EXPECT_EQ(record.got, wanted) << id;
      EXPECT_EQ(record.rows, wanted_rows) << id;
      const bool at_length =
          !of_rows && (std::ssize(wanted) == record.request.max_tokens ||
                       std::ssize(record.request.prompt) + std::ssize(wanted) == kContext);
      EXPECT_EQ(record.reason,
                at_length ? model::FinishReason::kLength : model::FinishReason::kStop);
    }
    // Nothing is left but what is kept, and all agree how much that is.
    EXPECT_EQ(scheduler_.num_active(), 0);
    EXPECT_EQ(scheduler_.num_waiting(), 0);
    EXPECT_EQ(scheduler_.num_in_flight(), 0);
    const int64_t used = scheduler_.num_blocks() - scheduler_.num_free_blocks();
    for (const FakeStage& stage : pipeline_.stages()) {
      EXPECT_EQ(static_cast<int64_t>(stage.num_sequences()), scheduler_.num_kept());
      EXPECT_LE(stage.num_blocks(), used);
    }
    if (scheduler_.num_kept() == 0) {
      EXPECT_EQ(used, 0);
    }
  }
  template <typename T>
  static void ExpectBeginning(const std::vector<T>& got, const std::vector<T>& wanted) {
    ASSERT_LE(got.size(), wanted.size());
    EXPECT_TRUE(std::equal(got.begin(), got.end(), wanted.begin()));
  }
  void CheckNoErrors() { EXPECT_TRUE(pipeline_.errors().empty()) << pipeline_.errors().front(); }

  std::mt19937_64 random_;
  Options options_;
  InstanceScheduler scheduler_;
  FakePipeline pipeline_;
  PipelineShape shape_;
  std::array<model::TokenId, 96> system_prompt_{};
  std::map<model::SequenceId, Record> requests_;
  model::SequenceId picked_ = 0;
  uint64_t last_seed_ = 0;
  int64_t epoch_ = 0;
  bool first_ = true;
  int epoch_due_ = 0;  // ticks until an error is followed by a new epoch
  absl::Duration now_;
};

class SchedulerLives : public testing::TestWithParam<Options> {};

TEST_P(SchedulerLives, EveryRequestEndsInItsTokens) {
  constexpr uint64_t kSeeds = 20;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Life(seed, GetParam()).Run();
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(All, SchedulerLives,
                         testing::Values(Options{}, Options{.tight = true},
                                         Options{.changes = true},
                                         Options{.tight = true, .changes = true},
                                         Options{.changes = true, .deaths = true},
                                         Options{.tight = true, .changes = true, .deaths = true},
                                         Options{.window = 64, .tight = true, .changes = true},
                                         Options{.tight = true, .changes = true, .poison = true}));

}  // namespace
}  // namespace potluck::coordinator
