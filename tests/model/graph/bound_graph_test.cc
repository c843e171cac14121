// What binding a graph to a backend says of weights that are not what the graph asks for.
#include "model/graph/bound_graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "kernels/reference/reference_backend.h"

namespace potluck::model {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class FloatWeights final : public WeightSource {
 public:
  void Put(const std::string& name, std::vector<int64_t> shape, std::vector<float> values) {
    floats_[name] = std::move(values);
    tensors_[name] = {.name = name,
                      .dtype = kernels::DType::kF32,
                      .shape = std::move(shape),
                      .bytes = std::as_bytes(std::span(floats_[name]))};
  }
  void Remove(const std::string& name) { tensors_.erase(name); }
  float& at(const std::string& name, size_t i) { return floats_[name][i]; }

  const WeightTensor* Find(std::string_view name) const override {
    const auto found = tensors_.find(std::string(name));
    return found == tensors_.end() ? nullptr : &found->second;
  }
  std::span<const WeightTensor> tensors() const override { return {}; }

 private:
  std::map<std::string, std::vector<float>> floats_;
  std::map<std::string, WeightTensor> tensors_;
};

// hidden = 2 W rms_norm(input), W (3, 2)
class BoundGraphTest : public testing::Test {
 protected:
  BoundGraphTest() {
    graph_.values = {{"input", Expression::Tokens(), 2, kernels::DType::kF32},
                     {"norm", Expression::Tokens(), 2, kernels::DType::kF32},
                     {"y", Expression::Tokens(), 3, kernels::DType::kF32}};
    graph_.weights = {{"w.weight", 0, 3, 2}};
    graph_.vectors = {{"norm.weight", 2, /*added=*/1}};
    graph_.nodes = {{"norm", RmsNormOp{0, 0, 1e-6f, 2, 1}},
                    {"w", MatMulOp{1, {{0, kNoId, 2}}}},
                    {"double", ScaleOp{2, 2}}};
    graph_.input = 0;
    graph_.hidden = 2;
    weights_.Put("w.weight", {3, 2}, {1, 0, 0, 1, 1, 1});
    weights_.Put("norm.weight", {2}, {0, 1});
  }
  absl::StatusOr<std::unique_ptr<BoundGraph>> Bind() {
    return BoundGraph::Bind(graph_, weights_, backend_, {.largest = {.tokens = 4, .outputs = 0}});
  }
  std::string BindError() {
    const auto bound = Bind();
    EXPECT_FALSE(bound.ok());
    return std::string(bound.status().message());
  }

  Graph graph_;
  FloatWeights weights_;
  kernels::ReferenceBackend backend_;
};

TEST_F(BoundGraphTest, RunsItsNodesInOrder) {
  const auto bound = Bind();
  ASSERT_TRUE(bound.ok()) << bound.status();
  EXPECT_EQ((*bound)->weight_bytes(), 24);
  const std::vector<float> input = {3, 3, -5, 5};
  ASSERT_TRUE(backend_.Upload(std::as_bytes(std::span(input)), (*bound)->input(2)).ok());
  const std::vector<int32_t> positions = {0, 1};
  ASSERT_TRUE((*bound)->Run({.positions = positions}).ok());
  std::vector<float> y(6);
  ASSERT_TRUE(backend_.Download((*bound)->hidden(2), std::as_writable_bytes(std::span(y))).ok());
  // The norm gives (1, 1) and (-1, 1), its gains (1, 2).
  const std::vector<float> expected = {2, 4, 6, -2, 4, 2};
  for (size_t i = 0; i < 6; ++i) EXPECT_NEAR(y[i], expected[i], 1e-5) << i;
}

TEST_F(BoundGraphTest, RefusesMoreTokensThanItsPlanHasRoomFor) {
  const auto bound = Bind();
  ASSERT_TRUE(bound.ok()) << bound.status();
  const std::vector<int32_t> positions(5);
  EXPECT_EQ((*bound)->Run({.positions = positions}).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(BoundGraphTest, NamesAMissingTensor) {
  weights_.Remove("w.weight");
  EXPECT_THAT(BindError(), HasSubstr("w.weight"));
  weights_.Put("w.weight", {3, 2}, {1, 0, 0, 1, 1, 1});
  weights_.Remove("norm.weight");
  EXPECT_THAT(BindError(), HasSubstr("norm.weight"));
}

TEST_F(BoundGraphTest, NamesATensorOfAWrongShapeAndBothShapes) {
  weights_.Put("w.weight", {2, 3}, {1, 0, 0, 1, 1, 1});
  EXPECT_THAT(BindError(), AllOf(HasSubstr("w.weight"), HasSubstr("(2, 3)"), HasSubstr("(3, 2)")));
  weights_.Put("w.weight", {3, 2}, {1, 0, 0, 1, 1, 1});
  weights_.Put("norm.weight", {3}, {1, 1, 1});
  EXPECT_THAT(BindError(), AllOf(HasSubstr("norm.weight"), HasSubstr("(3)"), HasSubstr("(2)")));
}

TEST_F(BoundGraphTest, NamesATensorThatHoldsNoNumber) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    weights_.at("w.weight", 4) = bad;
    EXPECT_THAT(BindError(), HasSubstr("w.weight"));
    weights_.at("w.weight", 4) = 1;
    weights_.at("norm.weight", 1) = bad;
    EXPECT_THAT(BindError(), HasSubstr("norm.weight"));
    weights_.at("norm.weight", 1) = 1;
  }
  EXPECT_TRUE(Bind().ok());
}

TEST_F(BoundGraphTest, TellsItsProgressAndCanBeStopped) {
  double last = 0;
  BoundGraph::Options options{.largest = {.tokens = 4, .outputs = 0},
                              .on_progress = [&](double done) { last = done; }};
  EXPECT_TRUE(BoundGraph::Bind(graph_, weights_, backend_, options).ok());
  EXPECT_EQ(last, 1);
  options.cancelled = [] { return true; };
  EXPECT_EQ(BoundGraph::Bind(graph_, weights_, backend_, options).status().code(),
            absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace potluck::model
