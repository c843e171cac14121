// Attention and KvWrite on every instruction set: the reference's bits, whatever the batch, the
// chunks, the threads or the tree; and the reference itself against plain double precision.
#include "kernels/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/formats/floats.h"
#include "kernels/reference/reference_backend.h"
#include "tests/kernels/float_ops/kv_sequences.h"
#include "tests/testing/cpu_targets.h"
#include "tests/testing/guarded_tensor.h"

namespace potluck::kernels {
namespace {

struct Heads {
  DType dtype = DType::kF16;
  int64_t num_heads = 4, num_kv_heads = 2, head_dim = 64;
  float softcap = 0;
  int32_t window = 0;
};

float ScaleOf(const Heads& heads) { return 1.0f / std::sqrt(static_cast<float>(heads.head_dim)); }

absl::Status Reserve(Backend& backend) {
  return backend.Reserve({.max_tokens = 512, .max_input_dim = 64});
}

absl::Status Attend(Backend& backend, const Heads& heads, KvSequences& kv,
                    const std::vector<StepRow>& rows, const GuardedTensor& q,
                    const GuardedTensor& out) {
  const AttentionArgs args{
      q, kv.pool(), &kv.Index(rows), ScaleOf(heads), heads.softcap, heads.window, out};
  absl::Status status = backend.Attention(args);
  return status.ok() ? backend.Fence() : status;
}

absl::Status Write(Backend& backend, KvSequences& kv, const std::vector<StepRow>& rows,
                   const TensorView& k, const TensorView& v) {
  return backend.KvWrite({k, v, kv.pool(), &kv.Index(rows)});
}

// Writes random keys and values at slots [0, length) of a sequence.
void Fill(KvSequences& kv, int sequence, int32_t length, std::mt19937& random) {
  ReferenceBackend reference;
  const int64_t heads = kv.pool().num_kv_heads, dim = kv.pool().head_dim;
  std::vector<StepRow> rows;
  for (int32_t j = 0; j < length; ++j) rows.push_back(KvSequences::Linear(sequence, j));
  GuardedTensor k({length, heads, dim}), v({length, heads, dim});
  k.FillRandom(random);
  v.FillRandom(random);
  ASSERT_TRUE(Write(reference, kv, rows, k, v).ok());
}

GuardedTensor Queries(const Heads& heads, int64_t tokens, std::mt19937& random) {
  GuardedTensor q({tokens, heads.num_heads, heads.head_dim}, DType::kF32, /*row_gap=*/3);
  q.FillRandom(random, 2);
  return q;
}

class AttentionTest : public CpuTargetTest {
 protected:
  std::unique_ptr<Backend> MakeReserved(int num_threads) {
    std::unique_ptr<Backend> backend = MakeBackend(num_threads);
    EXPECT_TRUE(Reserve(*backend).ok());
    return backend;
  }

  void ExpectReferenceBits(const Heads& heads, KvSequences& kv, const std::vector<StepRow>& rows,
                           const GuardedTensor& q, std::initializer_list<int> threads) {
    const int64_t tokens = static_cast<int64_t>(rows.size());
    GuardedTensor expected({tokens, heads.num_heads, heads.head_dim}, DType::kF32, 5);
    ReferenceBackend reference;
    const absl::Status status = Attend(reference, heads, kv, rows, q, expected);
    ASSERT_TRUE(status.ok()) << status;
    for (const int count : threads) {
      GuardedTensor actual({tokens, heads.num_heads, heads.head_dim}, DType::kF32, 5);
      const absl::Status ran = Attend(*MakeReserved(count), heads, kv, rows, q, actual);
      ASSERT_TRUE(ran.ok()) << ran;
      EXPECT_TRUE(SameBits(actual, expected))
          << count << " threads, " << Traits(heads.dtype).name << ", " << heads.num_heads << "/"
          << heads.num_kv_heads << " heads of " << heads.head_dim << ", window " << heads.window
          << ", softcap " << heads.softcap << ", " << tokens << " tokens";
    }
  }

  std::mt19937 random_{TestSeed()};
};
POTLUCK_INSTANTIATE_CPU_TARGETS(AttentionTest);

TEST_P(AttentionTest, MatchesTheReferenceOverHeadsAndTypes) {
  const int64_t dims[] = {8, 15, 32, 40, 64, 80, 96, 128, 256};
  const std::pair<int64_t, int64_t> head_counts[] = {{1, 1}, {4, 4}, {4, 2},
                                                     {6, 2}, {7, 1}, {40, 1}};
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kQ8_0}) {
    int turn = 0;
    for (const int64_t dim : dims) {
      if (dtype == DType::kQ8_0 && dim % 32 != 0) continue;
      const auto [num_heads, num_kv_heads] = head_counts[turn++ % std::size(head_counts)];
      const Heads heads{dtype, num_heads, num_kv_heads, dim};
      KvSequences kv(dtype, num_kv_heads, dim, 3, 330, random_);
      std::vector<StepRow> rows;
      const int32_t ends[] = {300, 33, 5}, counts[] = {19, 20, 1};
      for (int s = 0; s < 3; ++s) {
        Fill(kv, s, ends[s], random_);
        for (int32_t i = counts[s]; i > 0; --i) rows.push_back(KvSequences::Linear(s, ends[s] - i));
      }
      const GuardedTensor q = Queries(heads, rows.size(), random_);
      ExpectReferenceBits(heads, kv, rows, q, {1, 3});
    }
  }
}

TEST_P(AttentionTest, MatchesTheReferenceOverWindowsAndCaps) {
  for (const int32_t window : {0, 1, 7, 64, 256, 300}) {
    for (const float softcap : {0.0f, 3.0f}) {
      const Heads heads{DType::kF16, 4, 2, 32, softcap, window};
      KvSequences kv(DType::kF16, 2, 32, 2, 700, random_);
      Fill(kv, 0, 690, random_);
      Fill(kv, 1, 300, random_);
      std::vector<StepRow> rows;
      for (int32_t j = 660; j < 690; ++j) rows.push_back(KvSequences::Linear(0, j));
      for (int32_t j = 290; j < 300; ++j) rows.push_back(KvSequences::Linear(1, j));
      // What has left every token's window is gone, and what it held is poison.
      if (window > 0) {
        kv.Release(0, 660 + 1 - window);
        kv.Release(1, 290 + 1 - window);
      }
      const GuardedTensor q = Queries(heads, rows.size(), random_);
      ExpectReferenceBits(heads, kv, rows, q, {1, 2, 4});
    }
  }
}

TEST_P(AttentionTest, LongContextsSplitOverThreadsGiveTheSameBits) {
  for (const DType dtype : {DType::kF16, DType::kQ8_0}) {
    const Heads heads{dtype, 4, 1, 64};
    KvSequences kv(dtype, 1, 64, 3, 3000, random_);
    const int32_t lengths[] = {3000, 1290, 256};
    std::vector<StepRow> rows;
    for (int s = 0; s < 3; ++s) {
      Fill(kv, s, lengths[s], random_);
      rows.push_back(KvSequences::Linear(s, lengths[s] - 1));
    }
    const GuardedTensor q = Queries(heads, 3, random_);
    ExpectReferenceBits(heads, kv, rows, q, {1, 2, 3, 4});
  }
}

TEST_P(AttentionTest, PromptInChunksEqualsPromptInOneGo) {
  const Heads heads{DType::kF16, 6, 2, 48};
  KvSequences kv(DType::kF16, 2, 48, 1, 320, random_);
  Fill(kv, 0, 300, random_);
  std::vector<StepRow> rows;
  for (int32_t j = 0; j < 300; ++j) rows.push_back(KvSequences::Linear(0, j));
  const GuardedTensor q = Queries(heads, 300, random_);
  GuardedTensor whole({300, 6, 48}), chunked({300, 6, 48});
  std::unique_ptr<Backend> backend = MakeReserved(2);
  ASSERT_TRUE(Attend(*backend, heads, kv, rows, q, whole).ok());
  int64_t begin = 0;
  for (const int64_t count : {1, 31, 7, 64, 100, 97}) {
    const std::vector<StepRow> chunk(rows.begin() + begin, rows.begin() + begin + count);
    const AttentionArgs args{
        q.view().Rows(begin, count),      kv.pool(), &kv.Index(chunk), ScaleOf(heads), 0, 0,
        chunked.view().Rows(begin, count)};
    ASSERT_TRUE(backend->Attention(args).ok());
    begin += count;
  }
  EXPECT_TRUE(SameBits(chunked, whole));
}

// A tree of drafts behind a prefix, each node's keys at a slot of its own, against each path alone
// at the plain slots. The prefix ends so that the paths cross a span's border.
TEST_P(AttentionTest, TreeNodesEqualTheirPathsAlone) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kQ8_0}) {
    const Heads heads{dtype, 4, 2, 32, 0, 40};
    constexpr int32_t kPrefix = 254;
    const int parent[] = {-1, 0, 1, 1, 0, 4, 3};
    const int64_t nodes = std::size(parent);
    KvSequences kv(dtype, 2, 32, 1, 400, random_);
    Fill(kv, 0, kPrefix, random_);
    GuardedTensor k({nodes, 2, 32}), v({nodes, 2, 32});
    k.FillRandom(random_);
    v.FillRandom(random_);
    const GuardedTensor q = Queries(heads, nodes, random_);
    const auto path_of = [&](int node) {
      std::vector<int> path;
      for (; node >= 0; node = parent[node]) path.insert(path.begin(), node);
      return path;
    };
    std::vector<StepRow> tree;
    for (int i = 0; i < nodes; ++i) {
      StepRow row{0, kPrefix - 1, kPrefix, {}, kPrefix + 10 + 2 * i};
      for (const int node : path_of(i)) row.tail.push_back(kPrefix + 10 + 2 * node);
      row.position += static_cast<int32_t>(row.tail.size());
      tree.push_back(row);
    }
    std::unique_ptr<Backend> backend = MakeReserved(2);
    ASSERT_TRUE(Write(*backend, kv, tree, k, v).ok());
    ExpectReferenceBits(heads, kv, tree, q, {1, 2});
    GuardedTensor in_tree({nodes, 4, 32});
    ASSERT_TRUE(Attend(*backend, heads, kv, tree, q, in_tree).ok());
    for (int i = 0; i < nodes; ++i) {
      std::vector<StepRow> line;
      const std::vector<int> path = path_of(i);
      for (size_t n = 0; n < path.size(); ++n) {
        line.push_back(KvSequences::Linear(0, kPrefix + static_cast<int32_t>(n)));
        ASSERT_TRUE(
            Write(*backend, kv, {line.back()}, k.view().Rows(path[n], 1), v.view().Rows(path[n], 1))
                .ok());
      }
      GuardedTensor alone({1, 4, 32});
      const AttentionArgs args{
          q.view().Rows(i, 1), kv.pool(), &kv.Index({line.back()}), ScaleOf(heads), 0, 40, alone};
      ASSERT_TRUE(backend->Attention(args).ok());
      for (int64_t e = 0; e < alone.num_elements(); ++e) {
        ASSERT_EQ(BitsOfFloat(alone.at(e)), BitsOfFloat(in_tree.at(i * 4 * 32 + e)))
            << "node " << i << ", element " << e;
      }
    }
  }
}

TEST_P(AttentionTest, KvWriteMatchesTheReference) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kQ8_0}) {
    for (const int64_t dim : {15, 32, 64, 72, 128}) {
      if (dtype == DType::kQ8_0 && dim % 32 != 0) continue;
      KvSequences kv(dtype, 3, dim, 1, 64, random_);
      std::vector<StepRow> rows;
      for (int32_t j = 0; j < 40; ++j) rows.push_back(KvSequences::Linear(0, j));
      GuardedTensor k({40, 3, dim}, DType::kF32, 2), v({40, 3, dim}, DType::kF32, 2);
      k.FillRandom(random_, 100);
      v.Fill(AwkwardFloats(random_, v.num_elements(), dtype == DType::kQ8_0));
      const std::vector<std::byte> before = kv.Bytes();
      ReferenceBackend reference;
      ASSERT_TRUE(Write(reference, kv, rows, k, v).ok());
      const std::vector<std::byte> expected = kv.Bytes();
      kv.SetBytes(before);
      std::unique_ptr<Backend> backend = MakeBackend(2);
      ASSERT_TRUE(Write(*backend, kv, rows, k, v).ok());
      EXPECT_EQ(kv.Bytes(), expected) << Traits(dtype).name << " " << dim;
      EXPECT_NE(expected, before);
    }
  }
}

// Infinities, NaN, denormals and huge numbers in keys, values and queries.
TEST_P(AttentionTest, AwkwardNumbersMatchTheReference) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kQ8_0}) {
    const Heads heads{dtype, 4, 2, 32, 0, 0};
    KvSequences kv(dtype, 2, 32, 1, 330, random_);
    std::vector<StepRow> all;
    for (int32_t j = 0; j < 300; ++j) all.push_back(KvSequences::Linear(0, j));
    GuardedTensor k({300, 2, 32}), v({300, 2, 32});
    k.FillRandom(random_);
    v.FillRandom(random_);
    for (const int64_t at : {40 * 64 + 3, 270 * 64 + 40}) {
      for (const float bad : AwkwardFloats(random_, 12, false)) {
        k.at(at + random_() % 10) = bad;
        v.at(at + random_() % 10) = bad;
      }
    }
    ReferenceBackend reference;
    ASSERT_TRUE(Write(reference, kv, all, k, v).ok());
    const std::vector<StepRow> rows(all.begin() + 30, all.begin() + 290);
    GuardedTensor q = Queries(heads, 260, random_);
    q.at(77) = std::numeric_limits<float>::quiet_NaN();
    q.at(1077) = std::numeric_limits<float>::infinity();
    ExpectReferenceBits(heads, kv, rows, q, {2});
  }
}

// One wrong value in the pool must show.
TEST_P(AttentionTest, OneChangedKeyTurnsTheComparisonRed) {
  const Heads heads;
  KvSequences kv(DType::kF16, 2, 64, 1, 64, random_);
  Fill(kv, 0, 40, random_);
  const std::vector<StepRow> rows = {KvSequences::Linear(0, 39)};
  const GuardedTensor q = Queries(heads, 1, random_);
  GuardedTensor expected({1, 4, 64}), actual({1, 4, 64});
  ReferenceBackend reference;
  ASSERT_TRUE(Attend(reference, heads, kv, rows, q, expected).ok());
  GuardedTensor k({1, 2, 64}), v({1, 2, 64});
  k.FillRandom(random_);
  v.FillRandom(random_);
  ASSERT_TRUE(Write(reference, kv, {KvSequences::Linear(0, 17)}, k, v).ok());
  ASSERT_TRUE(Attend(*MakeReserved(1), heads, kv, rows, q, actual).ok());
  EXPECT_FALSE(SameBits(actual, expected));
}

// The reference against softmax in double precision over the decoded keys and values. With u =
// 2^-24, a dot of n terms errs by at most (n/16 + 6) u sum|q k| and weights by that times scale, so
// that the output errs by at most e = 2 (e_score + (n/16 + 20 + S) u) max|v|.
TEST(AttentionReferenceTest, IsNearDoublePrecision) {
  std::mt19937 random(TestSeed());
  const Heads heads{DType::kF32, 4, 2, 32};
  constexpr int32_t kLength = 600;
  KvSequences kv(DType::kF32, 2, 32, 1, kLength, random);
  std::vector<StepRow> rows;
  for (int32_t j = 0; j < kLength; ++j) rows.push_back(KvSequences::Linear(0, j));
  GuardedTensor k({kLength, 2, 32}), v({kLength, 2, 32});
  k.FillRandom(random);
  v.FillRandom(random);
  ReferenceBackend reference;
  ASSERT_TRUE(Write(reference, kv, rows, k, v).ok());
  const GuardedTensor q = Queries(heads, 1, random);
  GuardedTensor out({1, 4, 32});
  ASSERT_TRUE(Attend(reference, heads, kv, {rows.back()}, q, out).ok());
  constexpr double kUnit = 0x1p-24;
  for (int64_t h = 0; h < 4; ++h) {
    std::vector<double> score(kLength), want(32);
    double size = 0, sum = 0, max = -1e300, largest_value = 0;
    for (int64_t j = 0; j < kLength; ++j) {
      double terms = 0;
      for (int64_t d = 0; d < 32; ++d) {
        const double product = double{q.at(h * 32 + d)} * k.at((j * 2 + h / 2) * 32 + d);
        score[j] += product * ScaleOf(heads);
        terms += std::fabs(product) * ScaleOf(heads);
        largest_value = std::max(largest_value, std::fabs(double{v.at((j * 2 + h / 2) * 32 + d)}));
      }
      size = std::max(size, terms);
      max = std::max(max, score[j]);
    }
    for (int64_t j = 0; j < kLength; ++j) {
      const double w = std::exp(score[j] - max);
      sum += w;
      for (int64_t d = 0; d < 32; ++d) want[d] += w * v.at((j * 2 + h / 2) * 32 + d);
    }
    constexpr int64_t kTermsPerLane = 32 / 16;
    const double bound =
        2 * ((kTermsPerLane + 6) * kUnit * size + (kTermsPerLane + 20 + kLength) * kUnit) *
        largest_value;
    for (int64_t d = 0; d < 32; ++d) {
      EXPECT_NEAR(out.at(h * 32 + d), want[d] / sum, bound) << "head " << h << ", " << d;
    }
  }
}

TEST(AttentionValidateTest, RefusesWhatLiesOutsideOfTableAndPool) {
  std::mt19937 random(TestSeed());
  const Heads heads;
  KvSequences kv(DType::kF16, 2, 64, 1, 64, random);
  Fill(kv, 0, 64, random);
  ReferenceBackend reference;
  const GuardedTensor q = Queries(heads, 1, random), out({1, 4, 64});
  const auto code = [&](StepRow row, Heads with) {
    return Attend(reference, with, kv, {row}, q, out).code();
  };
  const auto refused = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(code(KvSequences::Linear(0, 63), heads), absl::StatusCode::kOk);
  EXPECT_EQ(code(KvSequences::Linear(0, 64), heads), refused);
  EXPECT_EQ(code(KvSequences::Linear(1, 3), heads), refused);
  EXPECT_EQ(code({0, -1, 0, {}, 0}, heads), refused);
  EXPECT_EQ(code({0, 10, 10, {64}, 0}, heads), refused);
  EXPECT_EQ(code({0, 10, 10, {-1}, 0}, heads), refused);
  EXPECT_EQ(code({0, 10, 9, {9}, 0}, heads), refused);
  EXPECT_EQ(code({0, 10, 10, {63}, 0}, heads), absl::StatusCode::kOk);
  kv.Release(0, 32);
  EXPECT_EQ(code(KvSequences::Linear(0, 63), heads), refused);
  Heads windowed = heads;
  windowed.window = 32;
  EXPECT_EQ(code(KvSequences::Linear(0, 63), windowed), absl::StatusCode::kOk);
  windowed.window = 33;
  EXPECT_EQ(code(KvSequences::Linear(0, 63), windowed), refused);
  EXPECT_EQ(reference.Attention({q, kv.pool(), nullptr, 1, 0, 0, out}).code(), refused);
  EXPECT_EQ(
      reference.Attention({q, kv.pool(), &kv.Index({KvSequences::Linear(0, 63)}), 1, 0, 32, q})
          .code(),
      refused);
}

}  // namespace
}  // namespace potluck::kernels
