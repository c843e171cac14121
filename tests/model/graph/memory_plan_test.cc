#include "model/graph/memory_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <random>
#include <string>

#include "model/decoder/decoder_graph.h"

namespace potluck::model {
namespace {

// A source of weights for graphs that are only planned.
class NoWeights final : public WeightSource {
 public:
  const WeightTensor* Find(std::string_view) const override { return nullptr; }
  std::span<const WeightTensor> tensors() const override { return {}; }
};

ModelConfig Config(int64_t num_layers, bool experts) {
  ModelConfig config{.num_layers = num_layers,
                     .model_dim = 96,
                     .ffn_dim = 250,
                     .num_heads = 6,
                     .num_kv_heads = 2,
                     .head_dim = 24,
                     .vocab_size = 1000,
                     .post_norms = true,
                     .qk_norm = true,
                     .tied_embeddings = true,
                     .rope_dims = 24,
                     .layers = std::vector<LayerConfig>(num_layers),
                     .logit_softcap = 30};
  if (experts) config.experts = {.num_experts = 8, .num_experts_used = 2, .expert_ffn_dim = 70};
  return config;
}

Graph DecoderOf(const ModelConfig& config, StageRange range) {
  auto decoder = BuildDecoder(config, range, NoWeights(), 512);
  EXPECT_TRUE(decoder.ok()) << decoder.status();
  return std::move(decoder->graph);
}

int64_t BytesOf(const Value& value, const Symbols& symbols) {
  return value.elements().Evaluate(symbols) * kernels::BytesOf(value.dtype, 1);
}

// By running the graph in the mind: every value's bytes are marked as its own when it is written,
// and must still be its own whenever it is read, and at the end where the graph hands it out.
::testing::AssertionResult EveryValueIsIntactWhenRead(const Graph& graph, const MemoryPlan& plan,
                                                      const Symbols& symbols) {
  struct Region {
    int64_t begin, end;
    ValueId owner;
  };
  std::vector<Region> regions;
  const auto region_of = [&](ValueId value) {
    const int64_t begin = plan.offset_bytes[value];
    return Region{begin, begin + BytesOf(graph.values[value], symbols), value};
  };
  const auto write = [&](ValueId value) {
    const Region written = region_of(value);
    std::erase_if(regions, [&](const Region& other) {
      return other.owner == value || (other.begin < written.end && written.begin < other.end);
    });
    if (written.begin < written.end) regions.push_back(written);
  };
  const auto intact = [&](ValueId value) {
    return BytesOf(graph.values[value], symbols) == 0 ||
           std::ranges::find(regions, value, &Region::owner) != regions.end();
  };
  if (graph.input != kNoId) write(graph.input);
  for (const Node& node : graph.nodes) {
    if (node.IsLeftOut(symbols)) continue;
    const ValueUses uses = UsesOf(node.op);
    for (const ValueId value : uses.reads) {
      if (!intact(value)) {
        return ::testing::AssertionFailure()
               << node.name << " reads " << graph.values[value].name << " (" << value
               << "), which another value has overwritten";
      }
      for (const ValueId written : uses.writes) {
        const Region a = region_of(value), b = region_of(written);
        if (value != written && a.begin < b.end && b.begin < a.end)
          return ::testing::AssertionFailure() << node.name << " writes over what it reads";
      }
    }
    for (const ValueId value : uses.writes) write(value);
    for (const ValueId value : uses.writes) {
      if (!intact(value))
        return ::testing::AssertionFailure() << node.name << " writes two values into one place";
    }
  }
  for (const ValueId value : {graph.hidden, graph.final_hidden, graph.logits}) {
    if (value != kNoId && !intact(value))
      return ::testing::AssertionFailure() << "a result is not there at the end";
  }
  return ::testing::AssertionSuccess();
}

// Every step that is possible.
void ForAll(const Symbols& largest, const std::function<void(const Symbols&)>& visit) {
  for (int64_t tokens = 0; tokens <= largest.tokens; ++tokens) {
    for (int64_t outputs = 0; outputs <= std::min(tokens, largest.outputs); ++outputs) {
      for (int64_t rows = 0; rows <= std::min(tokens - outputs, largest.hidden_rows); ++rows)
        visit({tokens, outputs, rows});
    }
  }
}

void ExpectSound(const Graph& graph, const Symbols& largest) {
  const MemoryPlan plan = PlanMemory(graph, largest);
  for (ValueId value = 0; value < static_cast<ValueId>(graph.values.size()); ++value) {
    EXPECT_EQ(plan.offset_bytes[value] % 64, 0);
    EXPECT_LE(plan.offset_bytes[value] + BytesOf(graph.values[value], largest), plan.arena_bytes);
  }
  ForAll(largest, [&](const Symbols& symbols) {
    EXPECT_TRUE(EveryValueIsIntactWhenRead(graph, plan, symbols))
        << symbols.tokens << " tokens, " << symbols.outputs << " outputs, " << symbols.hidden_rows
        << " hidden rows";
  });
}

TEST(MemoryPlanTest, NothingOfADecoderIsOverwrittenWhileItIsNeeded) {
  for (const bool experts : {false, true}) {
    const ModelConfig config = Config(3, experts);
    for (const StageRange range : {StageRange{0, 6}, {0, 3}, {3, 6}, {1, 2}, {2, 3}, {5, 6}}) {
      SCOPED_TRACE(testing::Message() << range.first_cut << " to " << range.last_cut);
      const Graph graph = DecoderOf(config, range);
      ExpectSound(graph, {.tokens = 9, .outputs = 9, .hidden_rows = 9});
      ExpectSound(graph, {.tokens = 12, .outputs = 2, .hidden_rows = 12});
    }
  }
}

TEST(MemoryPlanTest, LayersShareTheirMemory) {
  const Symbols largest{.tokens = 512, .outputs = 32, .hidden_rows = 512};
  const auto arena = [&](int64_t num_layers) {
    const ModelConfig config = Config(num_layers, false);
    return PlanMemory(DecoderOf(config, StageRange::Whole(config)), largest).arena_bytes;
  };
  EXPECT_EQ(arena(2), arena(40));
  // What must be there at once in the FFN: the residual stream, its norm, gate and up.
  const int64_t least = 512 * 4 * (96 + 96 + 250 + 250);
  EXPECT_GE(arena(2), least);
  EXPECT_LE(arena(2), 2 * least + 32 * 4 * (96 + 1000));
}

// Graphs that no decoder has: values of all sizes, read at random for a random while.
Graph RandomGraph(std::mt19937& random) {
  const auto below = [&](int bound) { return static_cast<int>(random() % bound); };
  Graph graph;
  const auto new_value = [&] {
    graph.values.push_back({"v",
                            {.constant = below(3),
                             .per_token = below(3),
                             .per_output = below(3),
                             .per_hidden_row = below(3)},
                            1 + below(40),
                            kernels::DType::kF32});
    return static_cast<ValueId>(graph.values.size() - 1);
  };
  graph.input = new_value();
  for (int i = 0; i < 40; ++i) {
    const auto any = [&] {
      return static_cast<ValueId>(below(static_cast<int>(graph.values.size())));
    };
    Node node{.name = "n", .op = ScaleOp{any(), 2}};
    switch (below(3)) {
      case 0:
        break;
      case 1: {
        const ValueId a = any(), b = any();
        node.op = AddOp{a, b, new_value()};
        break;
      }
      default: {
        MatMulOp products{any(), {}};
        for (int j = below(3); j >= 0; --j) products.products.push_back({0, kNoId, new_value()});
        node.op = products;
      }
    }
    graph.nodes.push_back(std::move(node));
  }
  graph.hidden = below(static_cast<int>(graph.values.size()));
  return graph;
}

TEST(MemoryPlanTest, NothingOfARandomGraphIsOverwrittenWhileItIsNeeded) {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    ExpectSound(RandomGraph(random), {.tokens = 5, .outputs = 3, .hidden_rows = 5});
    if (HasFailure()) return;
  }
}

TEST(MemoryPlanTest, TheCheckSeesTwoValuesInOnePlace) {
  const ModelConfig config = Config(1, false);
  const Graph graph = DecoderOf(config, StageRange::Whole(config));
  MemoryPlan plan = PlanMemory(graph, {.tokens = 4, .outputs = 4, .hidden_rows = 4});
  ASSERT_TRUE(EveryValueIsIntactWhenRead(graph, plan, {4, 4, 0}));
  const auto named = [&](const char* name) {
    return std::ranges::find(graph.values, name, &Value::name) - graph.values.begin();
  };
  plan.offset_bytes[named("up")] = plan.offset_bytes[named("gate")];
  EXPECT_FALSE(EveryValueIsIntactWhenRead(graph, plan, {4, 4, 0}));
}

TEST(SymbolicTest, AlwaysAtMostIsWhatTryingAllGives) {
  std::mt19937 random(1);
  const auto any = [&] {
    const auto number = [&] { return static_cast<int64_t>(random() % 9) - 4; };
    return Expression{number() * 3, number(), number(), number()};
  };
  int held = 0;
  for (int i = 0; i < 20000; ++i) {
    const Expression a = any(), b = any();
    const auto tokens = static_cast<int64_t>(random() % 7);
    const Symbols largest{tokens, static_cast<int64_t>(random() % (tokens + 1)),
                          random() % 2 == 0 ? tokens : 0};
    bool expected = true;
    ForAll(largest,
           [&](const Symbols& symbols) { expected &= a.Evaluate(symbols) <= b.Evaluate(symbols); });
    EXPECT_EQ(AlwaysAtMost(a, b, largest), expected)
        << "T to " << largest.tokens << ", O to " << largest.outputs << ", P to "
        << largest.hidden_rows;
    held += expected;
  }
  EXPECT_GT(held, 1000);
}

}  // namespace
}  // namespace potluck::model
