#include "model/generation/row_mean.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace potluck::model {
namespace {

TEST(RowMeanTest, IsTheMeanOfLengthOne) {
  RowMean mean(2);
  mean.Add(std::vector<float>{1, 5, 5, 3});  // (6, 8) / 2, of length 5
  const auto vector = mean.Normalized();
  ASSERT_TRUE(vector.ok()) << vector.status();
  EXPECT_EQ(*vector, (std::vector<float>{0.6F, 0.8F}));
}

TEST(RowMeanTest, DoesNotDependOnHowTheRowsAreCut) {
  std::mt19937 random(3);
  std::normal_distribution<float> number;
  std::vector<float> rows(100 * 16);
  for (float& value : rows) value = number(random) * 1e3F;
  RowMean at_once(16), in_parts(16);
  at_once.Add(rows);
  for (std::span<const float> rest = rows; !rest.empty();) {
    const auto part = rest.first(std::min<size_t>(rest.size(), 16 * (1 + random() % 9)));
    in_parts.Add(part);
    rest = rest.subspan(part.size());
  }
  EXPECT_EQ(*at_once.Normalized(), *in_parts.Normalized());
}

TEST(RowMeanTest, NothingComesOfZerosAndAnErrorOfNaN) {
  RowMean mean(2);
  mean.Add(std::vector<float>{0, 0});
  EXPECT_EQ(*mean.Normalized(), (std::vector<float>{0, 0}));
  mean.Add(std::vector<float>{1, std::numeric_limits<float>::quiet_NaN()});
  EXPECT_TRUE(absl::IsInternal(mean.Normalized().status()));
}

}  // namespace
}  // namespace potluck::model
