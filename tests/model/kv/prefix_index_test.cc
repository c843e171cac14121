#include "model/kv/prefix_index.h"

#include <gtest/gtest.h>

#include <vector>

namespace potluck::model {
namespace {

std::vector<TokenId> Tokens(TokenId first) {
  std::vector<TokenId> tokens(kernels::kKvBlockPositions);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = first + static_cast<TokenId>(i);
  return tokens;
}

TEST(PrefixIndexTest, FindsWhatWasInsertedUnderItsParentAlone) {
  PrefixIndex index(16);
  const PrefixNodeId root = PrefixIndex::Root(0);
  const PrefixNodeId first = index.Insert(root, Tokens(1))->id;
  const PrefixNodeId second = index.Insert(first, Tokens(2))->id;
  EXPECT_NE(first, second);
  EXPECT_GT(first, 0) << "0 means no prefix";
  EXPECT_EQ(index.Insert(root, Tokens(1))->id, first);
  ASSERT_NE(index.Find(first, Tokens(2)), nullptr);
  EXPECT_EQ(index.Find(first, Tokens(2))->id, second);
  EXPECT_EQ(index.Find(root, Tokens(2)), nullptr);
  EXPECT_EQ(index.Find(second, Tokens(2)), nullptr);
  EXPECT_EQ(index.Find(PrefixIndex::Root(1), Tokens(1)), nullptr) << "crosses adapters";
  std::vector<TokenId> last_differs = Tokens(1);
  last_differs.back() += 1;
  EXPECT_EQ(index.Find(root, last_differs), nullptr);
  EXPECT_EQ(index.size(), 2);
}

TEST(PrefixIndexTest, ANodeLivesAsLongAsOneKindHasItsBlock) {
  PrefixIndex index(16);
  const PrefixNodeId root = PrefixIndex::Root(3);
  PrefixIndex::Node* node = index.Insert(root, Tokens(5));
  const PrefixNodeId id = node->id;
  node->blocks = {4, 9};
  index.RemoveBlock(id, 0);
  ASSERT_NE(index.Find(root, Tokens(5)), nullptr);
  EXPECT_EQ(index.Find(root, Tokens(5))->blocks[0], kReleasedBlock);
  EXPECT_EQ(index.Find(root, Tokens(5))->blocks[1], 9);
  index.RemoveBlock(id, 1);
  EXPECT_EQ(index.Find(root, Tokens(5)), nullptr);
  EXPECT_EQ(index.size(), 0);
  EXPECT_NE(index.Insert(root, Tokens(5))->id, id) << "an old child would hang below a new node";
}

}  // namespace
}  // namespace potluck::model
