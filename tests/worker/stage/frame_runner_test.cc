// Commands and steps on a real stage: forks, trims, drafts, epochs, and what must not be.
#include "worker/stage/frame_runner.h"

#include <gtest/gtest.h>

#include "kernels/devices.h"
#include "model/model_file.h"

namespace potluck::worker {
namespace {

using model::TokenId;
using model::TokenKind;
using model::Wanted;

class FrameRunnerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto file = model::OpenModelFile(std::string(POTLUCK_SOURCE_DIR) +
                                     "/deploy/demo/potluck-demo-1m-q8_0.gguf");
    ASSERT_TRUE(file.ok()) << file.status();
    auto backend = kernels::OpenDevice({.device = "cpu", .num_threads = 1, .target = ""});
    ASSERT_TRUE(backend.ok()) << backend.status();
    backend_ = *std::move(backend);
    auto stage = model::DecoderStage::Load(
        *file->config, *file->weights, *backend_,
        {.range = model::StageRange::Whole(*file->config),
         .context_length = 64,
         .kv = {.dtype = kernels::DType::kF16, .capacity = 256, .max_sequences = 3},
         .max_tokens = 16,
         .max_outputs = 16});
    ASSERT_TRUE(stage.ok()) << stage.status();
    stage_ = *std::move(stage);
    auto vocabulary = model::ReadVocabulary(*file);
    ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
    auto tokenizer = model::Tokenizer::Create(*std::move(vocabulary));
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    vocabulary_ = std::make_shared<model::TokenTrie>(*std::move(tokenizer));
    runner_ = std::make_unique<FrameRunner>(*stage_, /*is_last=*/true, /*replay_bytes=*/0,
                                            [this] { return vocabulary_; });
  }

  static wire::BeginCommand Begin(model::SequenceId sequence, model::SequenceId from = 0,
                                  int32_t length = 0) {
    wire::BeginCommand begin;
    begin.start.sequence = sequence;
    begin.start.sampling.temperature = 0;
    begin.start.prompt_length = 4;
    begin.start.top_logprobs = 5;
    begin.fork_from = from;
    begin.fork_length = length;
    return begin;
  }
  // Tokens after the first `position` ones; the last one is sampled from.
  static void Add(wire::StageFrame& frame, model::SequenceId sequence, int32_t position,
                  const std::vector<TokenId>& ids) {
    for (size_t i = 0; i < ids.size(); ++i) {
      frame.step.tokens.push_back(
          {.sequence = sequence,
           .id = ids[i],
           .position = static_cast<int32_t>(position + i),
           .parent =
               i == 0 ? model::kCommittedEnd : static_cast<int32_t>(frame.step.tokens.size()) - 1,
           .kind = TokenKind::kPrompt,
           .wanted = i + 1 == ids.size() ? Wanted::kSample : Wanted::kNothing});
    }
  }
  StageOutput Fine(const wire::StageFrame& frame) {
    auto output = runner_->Run(frame, {});
    EXPECT_TRUE(output.ok()) << output.status();
    return output.ok() ? *std::move(output) : StageOutput();
  }
  absl::Status Fails(const wire::StageFrame& frame) { return runner_->Run(frame, {}).status(); }
  // Of a text computed at once, in a sequence that is gone afterwards.
  wire::TokenResult After(const std::vector<TokenId>& ids) {
    wire::StageFrame frame;
    frame.commands = {Begin(99)};
    Add(frame, 99, 0, ids);
    const StageOutput output = Fine(frame);
    wire::StageFrame free;
    free.commands = {model::FreeCommand{99}};
    Fine(free);
    return output.tokens.at(0);
  }
  static void ExpectSame(const wire::TokenResult& a, const wire::TokenResult& b) {
    EXPECT_EQ(a.id, b.id);
    EXPECT_EQ(a.position, b.position);
    ASSERT_EQ(a.logprobs.size(), b.logprobs.size());
    for (size_t i = 0; i < a.logprobs.size(); ++i) {
      EXPECT_EQ(a.logprobs[i].id, b.logprobs[i].id);
      EXPECT_EQ(a.logprobs[i].logprob, b.logprobs[i].logprob);
    }
  }

  std::unique_ptr<kernels::Backend> backend_;
  std::unique_ptr<model::DecoderStage> stage_;
  std::shared_ptr<const model::TokenTrie> vocabulary_;
  std::unique_ptr<FrameRunner> runner_;
};

TEST_F(FrameRunnerTest, TellsTheRowsThatAreWanted) {
  wire::StageFrame frame;
  frame.commands = {Begin(1), Begin(2)};
  Add(frame, 1, 0, {1, 5, 9, 2});
  for (const size_t wanted : {1, 2, 3}) frame.step.tokens[wanted].wanted = Wanted::kHidden;
  Add(frame, 2, 0, {1, 5, 9, 2});
  const StageOutput output = Fine(frame);
  ASSERT_EQ(output.tokens.size(), 1u);
  EXPECT_EQ(output.tokens[0].sequence, 2);
  ExpectSame(output.tokens[0], After({1, 5, 9, 2}));
  const int64_t dim = stage_->config().model_dim;
  ASSERT_EQ(std::ssize(output.hidden), 3 * dim);
  // The same row alone.
  frame = {};
  frame.commands = {model::TrimCommand{1, 3}};
  Add(frame, 1, 3, {2});
  frame.step.tokens[0].wanted = Wanted::kHidden;
  const StageOutput last = Fine(frame);
  EXPECT_TRUE(last.tokens.empty());
  EXPECT_TRUE(std::equal(last.hidden.begin(), last.hidden.end(), output.hidden.end() - dim,
                         output.hidden.end()));
}

TEST_F(FrameRunnerTest, ForksAndTrims) {
  const wire::TokenResult straight = After({1, 5, 9, 2, 30, 17});
  wire::StageFrame frame;
  frame.commands = {Begin(1)};
  Add(frame, 1, 0, {1, 5, 9, 2, 77});
  Fine(frame);
  frame = {};
  frame.commands = {Begin(2, 1, 4), model::TrimCommand{1, 3}};
  Add(frame, 1, 3, {2, 30, 17});
  Add(frame, 2, 4, {30, 17});
  const StageOutput output = Fine(frame);
  ASSERT_EQ(output.tokens.size(), 2u);
  ExpectSame(output.tokens[0], straight);
  ExpectSame(output.tokens[1], straight);
  EXPECT_EQ(straight.position, 6);
}

// Two answers at once, one of them to a grammar, drafts too; after a failover it goes on.
TEST_F(FrameRunnerTest, AnswersKeepToTheirGrammar) {
  wire::BeginCommand begin = Begin(1);
  begin.start.sampling.grammar = "root ::= \"<\" [a-c]+ \">\"";
  wire::StageFrame frame;
  frame.commands = {begin, Begin(2)};
  Add(frame, 1, 0, {1, 5, 9, 2});
  Add(frame, 2, 0, {1, 5, 9, 2});
  StageOutput output = Fine(frame);
  ASSERT_EQ(output.tokens.size(), 2u);
  ExpectSame(output.tokens[1], After({1, 5, 9, 2}));
  std::string text;
  std::vector<TokenId> ids;
  for (int32_t position = 4; position < 16; ++position) {
    ids.push_back(output.tokens[0].id);
    text += vocabulary_->BytesOf(ids.back());
    frame = {};
    Add(frame, 1, position, {ids.back()});
    output = Fine(frame);
  }
  EXPECT_TRUE(text.starts_with("<")) << text;
  EXPECT_EQ(text.find_first_not_of("abc<>"), std::string::npos) << text;

  // A stage that takes over samples the same.
  wire::Commit::Sequence kept;
  kept.start = begin.start;
  kept.start.sequence = 3;
  ASSERT_TRUE(runner_->Commit({kept}).ok());
  std::vector<TokenId> all = {1, 5, 9, 2};
  all.insert(all.end(), ids.begin(), ids.end());
  frame = {};
  Add(frame, 3, 0, all);
  EXPECT_EQ(Fine(frame).tokens.at(0).id, output.tokens.at(0).id);

  begin.start.sampling.grammar = "root ::= other";
  frame = {};
  begin.start.sequence = 4;
  frame.commands = {begin};
  EXPECT_EQ(Fails(frame).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(FrameRunnerTest, SamplesAfterDraftsAsIfTheyWereText) {
  wire::StageFrame frame;
  frame.commands = {Begin(1)};
  Add(frame, 1, 0, {1, 5, 9, 2});
  Fine(frame);
  // A committed token, two drafts in a row and one beside them.
  frame = {};
  frame.commands = {};
  Add(frame, 1, 4, {30});
  const std::vector<std::pair<TokenId, int32_t>> drafts = {{17, 0}, {8, 1}, {44, 0}};
  for (const auto& [id, parent] : drafts) {
    frame.step.tokens.push_back({.sequence = 1,
                                 .id = id,
                                 .position = frame.step.tokens[parent].position + 1,
                                 .parent = parent,
                                 .kind = TokenKind::kDraft,
                                 .wanted = Wanted::kSample});
  }
  const StageOutput output = Fine(frame);
  ASSERT_EQ(output.tokens.size(), 4u);
  ExpectSame(output.tokens[0], After({1, 5, 9, 2, 30}));
  ExpectSame(output.tokens[1], After({1, 5, 9, 2, 30, 17}));
  ExpectSame(output.tokens[2], After({1, 5, 9, 2, 30, 17, 8}));
  ExpectSame(output.tokens[3], After({1, 5, 9, 2, 30, 44}));
  frame = {};
  frame.commands = {model::AcceptCommand{1, {0, 1}}};
  Add(frame, 1, 7, {3});
  ExpectSame(Fine(frame).tokens.at(0), After({1, 5, 9, 2, 30, 17, 8, 3}));
}

TEST_F(FrameRunnerTest, AnErrorChangesNothing) {
  wire::StageFrame frame;
  frame.commands = {Begin(1)};
  Add(frame, 1, 0, {1, 5, 9, 2});
  Fine(frame);
  const auto refused = [&](const std::function<void(wire::StageFrame&)>& change,
                           absl::StatusCode code) {
    wire::StageFrame wrong;
    Add(wrong, 1, 4, {30});
    change(wrong);
    const absl::Status status = Fails(wrong);
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_EQ(*stage_->kv().Length(1), 4);
  };
  using Code = absl::StatusCode;
  refused([](auto& f) { f.step.tokens[0].id = -1; }, Code::kInvalidArgument);
  refused([](auto& f) { f.step.tokens[0].id = 1 << 30; }, Code::kInvalidArgument);
  refused([](auto& f) { f.step.tokens[0].position = 9; }, Code::kInvalidArgument);
  refused([](auto& f) { f.step.tokens[0].parent = 5; }, Code::kInvalidArgument);
  refused([](auto& f) { f.step.tokens[0].sequence = 8; }, Code::kNotFound);
  refused([](auto& f) { f.step.tokens[0].wanted = Wanted::kLogits; }, Code::kUnimplemented);
  refused([](auto& f) { f.hidden.resize(3); }, Code::kInvalidArgument);
  refused([](auto& f) { f.commands = {Begin(1)}; }, Code::kInvalidArgument);
  refused([](auto& f) { f.commands = {Begin(2, 8, 1)}; }, Code::kNotFound);
  refused([](auto& f) { f.commands = {Begin(2, 1, 5)}; }, Code::kInvalidArgument);
  refused([](auto& f) { f.commands = {model::TrimCommand{1, 5}}; }, Code::kInvalidArgument);
  refused([](auto& f) { f.commands = {model::AcceptCommand{1, {0}}}; }, Code::kInvalidArgument);
  refused([](auto& f) { f.commands = {model::FreeCommand{8}}; }, Code::kNotFound);
  refused(
      [](auto& f) {
        wire::BeginCommand begin = Begin(2);
        begin.start.sampling.temperature = -1;
        f.commands = {begin};
      },
      Code::kInvalidArgument);
  frame = {};
  Add(frame, 1, 4, {30, 17});
  ExpectSame(Fine(frame).tokens.at(0), After({1, 5, 9, 2, 30, 17}));
}

TEST_F(FrameRunnerTest, BeginsAnEpoch) {
  for (const model::SequenceId sequence : {1, 2}) {
    wire::StageFrame frame;
    frame.commands = {Begin(sequence)};
    Add(frame, sequence, 0, {1, 5, 9, 2});
    Fine(frame);
  }
  const auto named = [](model::SequenceId sequence, int32_t length) {
    return wire::Commit::Sequence{Begin(sequence).start, length};
  };
  const auto held = runner_->Commit({named(2, 3), named(7, 9)});
  ASSERT_TRUE(held.ok()) << held.status();
  ASSERT_EQ(held->size(), 2u);
  EXPECT_EQ((*held)[0].length, 3);
  EXPECT_EQ((*held)[1].sequence, 7);
  EXPECT_EQ((*held)[1].length, 0);
  EXPECT_TRUE(absl::IsNotFound(stage_->kv().Length(1).status()));
  EXPECT_EQ((*runner_->Commit({named(2, 9)}))[0].length, 3);
  wire::StageFrame frame;
  Add(frame, 2, 3, {2, 30});
  ExpectSame(Fine(frame).tokens.at(0), After({1, 5, 9, 2, 30}));
  EXPECT_TRUE(absl::IsInvalidArgument(runner_->Commit({named(2, -1)}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(runner_->Commit({named(2, 1), named(2, 1)}).status()));
  EXPECT_TRUE(absl::IsResourceExhausted(
      runner_->Commit({named(2, 1), named(3, 1), named(4, 1), named(5, 1)}).status()));
  ASSERT_TRUE(runner_->Commit({}).ok());
  EXPECT_TRUE(stage_->kv().Sequences().empty());
  EXPECT_EQ(stage_->kv().num_used_blocks(), 0);
}

// A pipeline of two stages whose second one is lost and filled again.
class ReplayTest : public ::testing::Test {
 protected:
  static constexpr int32_t kPrompt = 12;

  void SetUp() override {
    auto file = model::OpenModelFile(std::string(POTLUCK_SOURCE_DIR) +
                                     "/deploy/demo/potluck-demo-1m-q8_0.gguf");
    ASSERT_TRUE(file.ok()) << file.status();
    file_ = *std::move(file);
    auto backend = kernels::OpenDevice({.device = "cpu", .num_threads = 1, .target = ""});
    ASSERT_TRUE(backend.ok()) << backend.status();
    backend_ = *std::move(backend);
    num_cuts_ = static_cast<int32_t>(2 * file_.config->num_layers);
    front_stage_ = Load(0, num_cuts_ / 2);
    front_ = std::make_unique<FrameRunner>(*front_stage_, false, int64_t{1} << 20, nullptr);
    LoseBack();
  }
  std::unique_ptr<model::DecoderStage> Load(int32_t first_cut, int32_t last_cut) {
    auto stage = model::DecoderStage::Load(
        *file_.config, *file_.weights, *backend_,
        {.range = {first_cut, last_cut},
         .context_length = 64,
         .kv = {.dtype = kernels::DType::kF16, .capacity = 256, .max_sequences = 3},
         .max_tokens = 16,
         .max_outputs = 16});
    EXPECT_TRUE(stage.ok()) << stage.status();
    return *std::move(stage);
  }
  void LoseBack() {
    back_ = nullptr;
    back_stage_ = Load(num_cuts_ / 2, num_cuts_);
    back_ = std::make_unique<FrameRunner>(*back_stage_, true, 0, nullptr);
  }
  // The tokens [begin, end) of the text through both stages.
  absl::StatusOr<std::vector<wire::TokenResult>> Send(int32_t begin, int32_t end,
                                                      std::vector<int32_t> replaying = {}) {
    wire::StageFrame frame;
    frame.replaying = std::move(replaying);
    for (int32_t i = begin; i < end; ++i) {
      const bool last = frame.replaying.empty() && i + 1 == end;
      frame.step.tokens.push_back({.sequence = 1,
                                   .id = 5 + i,
                                   .position = i,
                                   .parent = i == begin ? model::kCommittedEnd : i - begin - 1,
                                   .wanted = last ? Wanted::kSample : Wanted::kNothing});
    }
    const bool replays = !frame.replaying.empty();
    const auto computes = [&](int32_t stage) {
      return !replays || std::ranges::count(frame.replaying, stage) > 0;
    };
    auto front = front_->Run(frame, {replays, computes(0), computes(1)});
    if (!front.ok()) return front.status();
    frame.hidden = front->hidden;
    auto back = back_->Run(frame, {replays, computes(1), false});
    if (!back.ok()) return back.status();
    return back->tokens;
  }
  static std::vector<wire::Commit::Sequence> Kept(int32_t length) {
    wire::Commit::Sequence kept{.start = {}, .length = length};
    kept.start.sequence = 1;
    kept.start.sampling.temperature = 0;
    kept.start.prompt_length = kPrompt;
    kept.start.top_logprobs = 5;
    return {kept};
  }

  model::ModelFile file_;
  std::unique_ptr<kernels::Backend> backend_;
  int32_t num_cuts_ = 0;
  std::unique_ptr<model::DecoderStage> front_stage_, back_stage_;
  std::unique_ptr<FrameRunner> front_, back_;
};

TEST_F(ReplayTest, ALostStageIsFilledFromKeptRowsToTheSameBits) {
  ASSERT_TRUE(front_->Commit(Kept(0)).ok());
  ASSERT_TRUE(back_->Commit(Kept(0)).ok());
  ASSERT_TRUE(Send(0, kPrompt).ok());
  const auto wanted = Send(kPrompt, kPrompt + 2);
  ASSERT_TRUE(wanted.ok()) << wanted.status();

  LoseBack();
  const auto held = front_->Commit(Kept(kPrompt + 2));
  ASSERT_TRUE(held.ok());
  EXPECT_EQ(held->at(0).length, kPrompt + 2);
  EXPECT_EQ(held->at(0).kept, kPrompt + 2);
  ASSERT_TRUE(back_->Commit(Kept(kPrompt + 2)).ok());
  ASSERT_TRUE(Send(0, 5, {1}).ok());
  ASSERT_TRUE(Send(5, kPrompt - 1, {1}).ok());
  // Both compute the prompt's last token again: the front drops what it has from there on.
  ASSERT_TRUE(Send(kPrompt - 1, kPrompt, {0, 1}).ok());
  const auto again = Send(kPrompt, kPrompt + 2);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->at(0).id, wanted->at(0).id);
  ASSERT_EQ(again->at(0).logprobs.size(), wanted->at(0).logprobs.size());
  for (size_t i = 0; i < wanted->at(0).logprobs.size(); ++i)
    EXPECT_EQ(again->at(0).logprobs[i].logprob, wanted->at(0).logprobs[i].logprob);
}

TEST_F(ReplayTest, RowsThatAreNotKeptAreAnError) {
  front_ = std::make_unique<FrameRunner>(*front_stage_, false, 0, nullptr);
  ASSERT_TRUE(front_->Commit(Kept(0)).ok());
  ASSERT_TRUE(back_->Commit(Kept(0)).ok());
  ASSERT_TRUE(Send(0, kPrompt).ok());
  EXPECT_EQ(front_->Commit(Kept(kPrompt))->at(0).kept, 0);
  LoseBack();
  ASSERT_TRUE(back_->Commit(Kept(kPrompt)).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(Send(0, 5, {1}).status()));
  EXPECT_TRUE(Send(0, 5, {0, 1}).ok());
}

}  // namespace
}  // namespace potluck::worker
