// Against a plain map of all rows that were ever kept.
#include "worker/stage/kept_rows.h"

#include <gtest/gtest.h>

#include <random>

namespace potluck::worker {
namespace {

constexpr int64_t kWidth = 4;
constexpr int64_t kBlockBytes = KeptRows::kBlockPositions * kWidth * sizeof(float);

// Rows that say whose they are.
float ValueOf(model::SequenceId text, int32_t position) {
  return static_cast<float>(text * 1000 + position);
}

void Keep(KeptRows& rows, model::SequenceId sequence, int32_t from, int32_t count,
          model::SequenceId text = 0, model::TokenKind kind = model::TokenKind::kPrompt) {
  model::Step step;
  std::vector<float> values;
  for (int32_t i = from; i < from + count; ++i) {
    step.tokens.push_back({.sequence = sequence, .position = i, .kind = kind});
    values.insert(values.end(), kWidth, ValueOf(text != 0 ? text : sequence, i));
  }
  rows.Keep(step, values);
}

// The value of the row, or -1.
float At(const KeptRows& rows, model::SequenceId sequence, int32_t position) {
  std::vector<float> row(kWidth, -2);
  if (!rows.Read(sequence, position, row)) return -1;
  EXPECT_EQ(row, std::vector<float>(kWidth, row[0]));
  return row[0];
}

TEST(KeptRowsTest, KeepsWhatComesWithoutAGap) {
  KeptRows rows(kWidth, 10 * kBlockBytes);
  Keep(rows, 1, 0, 40);
  Keep(rows, 2, 5, 3);
  Keep(rows, 1, 41, 5);
  Keep(rows, 1, 40, 1, 0, model::TokenKind::kDraft);
  EXPECT_EQ(rows.Length(1), 40);
  EXPECT_EQ(rows.Length(2), 0);
  EXPECT_EQ(rows.Length(3), 0);
  for (int32_t i = 0; i < 40; ++i) EXPECT_EQ(At(rows, 1, i), ValueOf(1, i));
  EXPECT_EQ(At(rows, 1, 40), -1);
  EXPECT_EQ(At(rows, 1, -1), -1);
  EXPECT_EQ(At(rows, 2, 5), -1);
}

TEST(KeptRowsTest, AForkSharesUntilOneOfThemGoesItsOwnWay) {
  KeptRows rows(kWidth, 10 * kBlockBytes);
  Keep(rows, 1, 0, 80);
  rows.Fork(1, 2, 70);
  EXPECT_EQ(rows.Length(2), 64) << "full blocks";
  EXPECT_EQ(rows.num_blocks(), 3);
  rows.Trim(2, 50);
  Keep(rows, 2, 50, 20);
  EXPECT_EQ(At(rows, 1, 50), ValueOf(1, 50));
  EXPECT_EQ(At(rows, 2, 49), ValueOf(1, 49));
  EXPECT_EQ(At(rows, 2, 50), ValueOf(2, 50));
  rows.Free(1);
  EXPECT_EQ(At(rows, 2, 10), ValueOf(1, 10));
  rows.Free(2);
  EXPECT_EQ(rows.num_blocks(), 0);
}

TEST(KeptRowsTest, TakesNoMoreThanItsBytesAndServesWhoIsAtWork) {
  KeptRows rows(kWidth, 4 * kBlockBytes);
  Keep(rows, 1, 0, 100);
  Keep(rows, 2, 0, 100);
  EXPECT_EQ(rows.num_blocks(), 4);
  EXPECT_EQ(rows.Length(1), 100);
  EXPECT_EQ(rows.Length(2), 0) << "the other is at work";
  for (int i = 0; i < 100; ++i) Keep(rows, 3, 0, 1);
  Keep(rows, 2, 0, 100);
  EXPECT_EQ(rows.Length(1), 0) << "at rest for long";
  EXPECT_EQ(rows.Length(2), 96) << "a block is the third one's";
  KeptRows none(kWidth, 0);
  Keep(none, 1, 0, 10);
  EXPECT_EQ(none.Length(1), 0);
}

TEST(KeptRowsTest, AnyMixOfThemReadsAsItWasWritten) {
  std::mt19937 random(7);
  const auto draw = [&](int n) { return static_cast<int32_t>(random() % n); };
  KeptRows rows(kWidth, 40 * kBlockBytes);
  std::map<model::SequenceId, std::vector<float>> wanted;
  for (int i = 0; i < 20000; ++i) {
    const model::SequenceId at = 1 + draw(8);
    std::vector<float>& text = wanted[at];
    text.resize(rows.Length(at));  // what was not kept, for want of room
    switch (draw(6)) {
      case 0:
        rows.Trim(at, draw(200));
        text.resize(rows.Length(at));
        break;
      case 1:
        rows.Free(at);
        text.clear();
        break;
      case 2: {
        const model::SequenceId from = 1 + draw(8);
        const int32_t length = draw(200);
        if (from == at || rows.Length(from) == 0) break;
        rows.Fork(from, at, length);
        text = wanted[from];
        text.resize(rows.Length(at));
        break;
      }
      default:
        const int32_t count = 1 + draw(40);
        const model::SequenceId voice = 1 + draw(1000);
        const auto begin = static_cast<int32_t>(text.size());
        Keep(rows, at, begin, count, voice);
        for (int32_t j = begin; j < rows.Length(at); ++j) text.push_back(ValueOf(voice, j));
    }
    ASSERT_LE(rows.num_blocks(), 40);
    for (const auto& [sequence, values] : wanted) {
      const auto length = static_cast<size_t>(rows.Length(sequence));
      ASSERT_LE(length, values.size());
      if (length > 0) {
        const auto place = draw(static_cast<int>(length));
        ASSERT_EQ(At(rows, sequence, place), values[place]);
      }
    }
  }
}

}  // namespace
}  // namespace potluck::worker
