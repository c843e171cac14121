#include "model/kv/kv_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "kernels/reference/reference_backend.h"
#include "tests/model/kv/kv_contents.h"

namespace potluck::model {
namespace {

using testing::HasSubstr;

std::vector<TokenId> Text(int32_t length, TokenId first = 100) {
  std::vector<TokenId> ids(length);
  std::iota(ids.begin(), ids.end(), first);
  return ids;
}

std::vector<uint64_t> PathsOf(std::span<const TokenId> ids, uint16_t adapter_slot = 0) {
  std::vector<uint64_t> paths;
  uint64_t path = adapter_slot;
  for (const TokenId id : ids) paths.push_back(path = PathHash(path, id));
  return paths;
}

class KvCacheTest : public testing::Test {
 protected:
  std::unique_ptr<KvCache> Make(int64_t capacity,
                                std::vector<AttentionKind> layers = {AttentionKind::kFull}) {
    auto cache = KvCache::Create(
        {.layers = std::move(layers), .num_kv_heads = 1, .head_dim = 32, .window = 40},
        {.dtype = kernels::DType::kF16,
         .capacity = capacity,
         .max_sequences = 3,
         .max_step_tokens = 256},
        backend_);
    EXPECT_TRUE(cache.ok()) << cache.status();
    return *std::move(cache);
  }

  // Begins a sequence and computes what is not known of it; returns how much was.
  static int32_t Compute(KvCache& cache, SequenceId id, const std::vector<TokenId>& text,
                         uint16_t adapter = 0) {
    const auto known = cache.Begin(id, text, adapter);
    EXPECT_TRUE(known.ok()) << known.status();
    Step step;
    AppendRun(step, id, *known, std::span(text).subspan(*known), TokenKind::kPrompt, adapter);
    const absl::Status placed = cache.Place(step);
    EXPECT_TRUE(placed.ok()) << placed;
    const std::vector<uint64_t> paths = PathsOf(text, adapter);
    for (size_t i = 0; i < step.tokens.size(); ++i) WriteRow(cache, i, paths[*known + i]);
    for (size_t i = 0; i < step.tokens.size(); ++i) {
      EXPECT_TRUE(SeesPath(cache, i, std::span(paths).first(*known + i + 1)));
    }
    cache.Commit(step);
    return *known;
  }

  static void Free(KvCache& cache, SequenceId id) {
    EXPECT_TRUE(cache.Apply(FreeCommand{id}).ok());
  }

  kernels::ReferenceBackend backend_;
};

TEST_F(KvCacheTest, ReusesAPrefixWhileItLivesAndAfterIt) {
  const auto cache = Make(512);
  EXPECT_EQ(Compute(*cache, 1, Text(100)), 0);
  EXPECT_EQ(Compute(*cache, 2, Text(100)), 96);
  EXPECT_EQ(cache->num_used_blocks(), 5) << "three full blocks shared, a last one each";
  Free(*cache, 1);
  Free(*cache, 2);
  EXPECT_EQ(cache->num_used_blocks(), 0);
  EXPECT_EQ(Compute(*cache, 3, Text(130)), 96);
  Free(*cache, 3);
  EXPECT_EQ(Compute(*cache, 4, Text(130)), 128);
  // The last token is computed even where it is known.
  EXPECT_EQ(Compute(*cache, 5, Text(96)), 64);
}

TEST_F(KvCacheTest, NeverReusesAnotherTextsOrAnotherAdaptersPrefix) {
  const auto cache = Make(512);
  Compute(*cache, 1, Text(100));
  std::vector<TokenId> other = Text(100);
  other[40] = 7;
  EXPECT_EQ(Compute(*cache, 2, other), 32);
  Free(*cache, 2);
  EXPECT_EQ(Compute(*cache, 3, Text(100), /*adapter=*/1), 0);
  Free(*cache, 3);
  EXPECT_EQ(Compute(*cache, 4, Text(100), /*adapter=*/1), 96);
}

TEST_F(KvCacheTest, OldPrefixesGiveWayFromTheirEnd) {
  const auto cache = Make(128);  // and a block for each of three sequences: seven
  Compute(*cache, 1, Text(128));
  Free(*cache, 1);
  Compute(*cache, 2, Text(129, 5000));  // five blocks: two of the old prefix must go
  Free(*cache, 2);
  EXPECT_EQ(*cache->Begin(3, Text(129)), 64);
}

TEST_F(KvCacheTest, IsFullOnlyWhenItIs) {
  const auto cache = Make(64);  // five blocks
  Compute(*cache, 1, Text(160));
  ASSERT_EQ(*cache->Begin(2, Text(1, 7)), 0);
  Step step;
  const std::vector<TokenId> one = {7};
  AppendRun(step, 2, 0, one, TokenKind::kPrompt);
  const absl::Status full = cache->Place(step);
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(full.message()), HasSubstr("1 more blocks of 32 positions are needed"));
  EXPECT_EQ(*cache->Length(2), 0);
  Free(*cache, 1);
  EXPECT_TRUE(cache->Place(step).ok());
}

// Its own kept prefix is no reason to call the pool full.
TEST_F(KvCacheTest, WritesAgainIntoItsOwnTrimmedBlockOfAFullPool) {
  const auto cache = Make(64);
  Compute(*cache, 1, Text(160));
  ASSERT_TRUE(cache->Apply(TrimCommand{1, 130}).ok());
  Step step;
  AppendRun(step, 1, 130, Text(20, 9000), TokenKind::kPrompt);
  const absl::Status placed = cache->Place(step);
  EXPECT_TRUE(placed.ok()) << placed;
}

// A block that two sequences share is copied once when both write: the last one keeps it.
TEST_F(KvCacheTest, TwoForksOfAFullPoolWriteTogether) {
  const auto cache = Make(64);
  Compute(*cache, 1, Text(110));  // four blocks of five
  ASSERT_TRUE(cache->Apply(ForkCommand{1, 2, 110}).ok());
  EXPECT_EQ(cache->num_used_blocks(), 4);
  Step step;
  AppendRun(step, 1, 110, Text(1, 9000), TokenKind::kGenerated);
  const std::vector<TokenId> other = {8000};
  step.tokens.push_back(
      {.sequence = 2, .id = 8000, .position = 110, .kind = TokenKind::kGenerated});
  const absl::Status placed = cache->Place(step);
  ASSERT_TRUE(placed.ok()) << placed;
  EXPECT_EQ(cache->num_used_blocks(), 5);
  for (size_t i = 0; i < 2; ++i) {
    std::vector<TokenId> ids = Text(110);
    ids.push_back(step.tokens[i].id);
    WriteRow(*cache, i, PathsOf(ids).back());
  }
  for (size_t i = 0; i < 2; ++i) {
    std::vector<TokenId> ids = Text(110);
    ids.push_back(step.tokens[i].id);
    EXPECT_TRUE(SeesPath(*cache, i, PathsOf(ids)));
  }
}

TEST_F(KvCacheTest, ForgottenDraftsGiveTheirBlocksBack) {
  const auto cache = Make(512);
  Compute(*cache, 1, Text(10));
  Step step;
  AppendRun(step, 1, 10, Text(100, 9000), TokenKind::kDraft);
  ASSERT_TRUE(cache->Place(step).ok());
  cache->Commit(step);
  EXPECT_EQ(cache->num_used_blocks(), 4);
  step.tokens.clear();
  AppendRun(step, 1, 10, Text(1, 7000), TokenKind::kGenerated);
  ASSERT_TRUE(cache->Place(step).ok());
  cache->Commit(step);
  EXPECT_EQ(cache->num_used_blocks(), 1);
  EXPECT_EQ(cache->Apply(AcceptCommand{1, {0}}).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(KvCacheTest, AWindowHoldsNoMoreThanItSees) {
  const auto cache = Make(1 << 20, {AttentionKind::kWindow});
  std::vector<TokenId> text = Text(600);
  Compute(*cache, 1, Text(200));
  for (int32_t i = 200; i < 600; ++i) {
    Step step;
    AppendRun(step, 1, i, std::span(text).subspan(i, 1), TokenKind::kGenerated);
    ASSERT_TRUE(cache->Place(step).ok());
    WriteRow(*cache, 0, PathsOf(std::span(text).first(i + 1)).back());
    ASSERT_TRUE(SeesPath(*cache, 0, PathsOf(std::span(text).first(i + 1))));
    cache->Commit(step);
    ASSERT_LE(cache->num_used_blocks(), 3) << "40 positions lie in three blocks at most";
  }
  const absl::Status back = cache->Apply(TrimCommand{1, 300});
  EXPECT_EQ(back.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(back.message()), HasSubstr("window of 40"));
  EXPECT_LT(cache->size_bytes(), 64 * 32 * 32 * 4) << "sized by the window, not by the context";
}

TEST_F(KvCacheTest, RefusesStepsThatMakeNoSense) {
  const auto cache = Make(512);
  Compute(*cache, 1, Text(5));
  Compute(*cache, 2, Text(5, 50));
  const auto refused = [&](std::vector<StepToken> tokens) {
    const int64_t used = cache->num_used_blocks();
    const absl::Status status = cache->Place(Step{.tokens = std::move(tokens)});
    EXPECT_EQ(cache->num_used_blocks(), used);
    EXPECT_EQ(*cache->Length(1), 5);
    return status;
  };
  using enum TokenKind;
  const auto token = [](SequenceId sequence, int32_t position, int32_t parent,
                        TokenKind kind = kPrompt, uint16_t adapter = 0) {
    return StepToken{.sequence = sequence,
                     .id = 1,
                     .position = position,
                     .parent = parent,
                     .kind = kind,
                     .adapter_slot = adapter};
  };
  const std::vector<std::vector<StepToken>> bad = {
      {token(1, 4, -1)},                                                   // not the end
      {token(1, 6, -1)},                                                   // a gap
      {token(1, -1, -1)},                                                  //
      {token(1, 5, 0)},                                                    // its own parent
      {token(1, 5, -2)},                                                   //
      {token(1, 5, 7)},                                                    // beyond the step
      {token(1, 5, -1), token(1, 6, 1)},                                   // its own parent
      {token(1, 5, -1), token(1, 5, -1)},                                  // two committed ends
      {token(1, 5, -1), token(1, 7, 0)},                                   // a gap
      {token(1, 5, -1, kDraft), token(1, 6, 0)},                           // text after drafts
      {token(1, 5, -1), token(1, 5, -1, kDraft)},                          // beside the text
      {token(1, 5, -1), token(1, 6, 0), token(1, 6, 0, kDraft)},           // likewise
      {token(1, 5, -1), token(2, 5, -1), token(1, 6, 0)},                  // not together
      {token(1, 5, -1), token(2, 6, 0)},                                   // another's parent
      {token(1, 5, -1, kDraft), token(2, 5, -1), token(2, 6, 0, kDraft)},  // likewise
      {token(1, 5, -1, kPrompt, 1)},                                       // another adapter
  };
  for (size_t i = 0; i < bad.size(); ++i) {
    EXPECT_EQ(refused(bad[i]).code(), absl::StatusCode::kInvalidArgument) << "case " << i;
  }
  EXPECT_EQ(refused({token(9, 0, -1)}).code(), absl::StatusCode::kNotFound);
  std::vector<StepToken> long_step = {token(1, 5, -1)};
  while (long_step.size() < 257) {
    const auto last = static_cast<int32_t>(long_step.size()) - 1;
    long_step.push_back(token(1, 6 + last, last));
  }
  EXPECT_EQ(refused(long_step).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(KvCacheTest, ReadsNothingRightAfterOneByteHasChanged) {
  const auto cache = Make(512);
  const std::vector<TokenId> text = Text(70);
  Compute(*cache, 1, text);
  Step step;
  AppendRun(step, 1, 70, Text(1, 9000), TokenKind::kGenerated);
  ASSERT_TRUE(cache->Place(step).ok());
  std::vector<TokenId> longer = text;
  longer.push_back(9000);
  const std::vector<uint64_t> paths = PathsOf(longer);
  WriteRow(*cache, 0, paths.back());
  ASSERT_TRUE(SeesPath(*cache, 0, paths));
  cache->pool(0).buffer->host()[33] ^= std::byte{1};
  EXPECT_FALSE(SeesPath(*cache, 0, paths));
}

TEST_F(KvCacheTest, RefusesQ8ForHeadsThatItsBlocksDoNotFit) {
  const auto cache = KvCache::Create(
      {.layers = {AttentionKind::kFull}, .num_kv_heads = 1, .head_dim = 48, .window = 0},
      {.dtype = kernels::DType::kQ8_0, .capacity = 64, .max_step_tokens = 8}, backend_);
  EXPECT_EQ(cache.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(cache.status().message()), HasSubstr("--kv-type f16"));
}

TEST_F(KvCacheTest, TellsItsSizeBeforehand) {
  const KvShape shape{.layers = {AttentionKind::kFull, AttentionKind::kWindow},
                      .num_kv_heads = 2,
                      .head_dim = 64,
                      .window = 50};
  const KvOptions options{
      .dtype = kernels::DType::kQ8_0, .capacity = 1000, .max_sequences = 2, .max_step_tokens = 16};
  const auto cache = KvCache::Create(shape, options, backend_);
  ASSERT_TRUE(cache.ok()) << cache.status();
  EXPECT_EQ((*cache)->size_bytes(), KvCache::BytesFor(shape, options));
  // (32 full blocks and one per sequence; 3 + 1 blocks of window per sequence) of 2 * 2 * 32 rows
  // of 68 bytes.
  EXPECT_EQ((*cache)->size_bytes(), (34 + 8) * 2 * 2 * 32 * 68);
}

}  // namespace
}  // namespace potluck::model
