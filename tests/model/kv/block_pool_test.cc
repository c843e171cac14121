#include "model/kv/block_pool.h"

#include <gtest/gtest.h>

#include <set>

namespace potluck::model {
namespace {

TEST(BlockPoolTest, GivesEveryBlockOnceAndThenNone) {
  BlockPool pool(5);
  std::set<BlockId> taken;
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(pool.num_available(), 5 - i);
    const auto block = pool.Take();
    ASSERT_TRUE(block.has_value());
    EXPECT_EQ(block->evicted, 0);
    EXPECT_TRUE(pool.Writable(block->block));
    taken.insert(block->block);
  }
  EXPECT_EQ(taken, (std::set<BlockId>{0, 1, 2, 3, 4}));
  EXPECT_EQ(pool.Take(), std::nullopt);
  EXPECT_EQ(pool.num_used(), 5);
}

TEST(BlockPoolTest, ABlockIsFreeOnceItsLastUserIsGone) {
  BlockPool pool(1);
  const BlockId block = pool.Take()->block;
  pool.AddUser(block);
  EXPECT_FALSE(pool.Writable(block));
  pool.RemoveUser(block);
  EXPECT_TRUE(pool.Writable(block));
  EXPECT_EQ(pool.Take(), std::nullopt);
  pool.RemoveUser(block);
  EXPECT_EQ(pool.num_used(), 0);
  EXPECT_EQ(pool.Take()->block, block);
}

TEST(BlockPoolTest, KeepsPrefixesUntilNothingElseIsFreeAndGivesUpTheLongestUnusedFirst) {
  BlockPool pool(4);
  BlockId blocks[4];
  for (BlockId& block : blocks) block = pool.Take()->block;
  pool.SetPrefix(blocks[0], 10);
  pool.SetPrefix(blocks[1], 11);
  pool.SetPrefix(blocks[2], 12);
  EXPECT_FALSE(pool.Writable(blocks[0]));
  for (const int i : {1, 0, 3, 2}) pool.RemoveUser(blocks[i]);
  EXPECT_EQ(pool.num_used(), 0);

  // Used again and left again: now block 1 is the last to go.
  pool.AddUser(blocks[1]);
  EXPECT_EQ(pool.prefix(blocks[1]), 11);
  pool.RemoveUser(blocks[1]);

  const BlockId expected_block[] = {blocks[3], blocks[0], blocks[2], blocks[1]};
  const PrefixNodeId expected_prefix[] = {0, 10, 12, 11};
  for (int i = 0; i < 4; ++i) {
    const auto taken = pool.Take();
    ASSERT_TRUE(taken.has_value());
    EXPECT_EQ(taken->block, expected_block[i]) << i;
    EXPECT_EQ(taken->evicted, expected_prefix[i]) << i;
    EXPECT_TRUE(pool.Writable(taken->block)) << "an evicted block still belongs to its prefix";
  }
}

TEST(BlockPoolTest, AForgottenPrefixFreesItsBlock) {
  BlockPool pool(2);
  const BlockId kept = pool.Take()->block, other = pool.Take()->block;
  pool.SetPrefix(kept, 7);
  pool.RemoveUser(kept);
  pool.SetPrefix(kept, 0);
  pool.RemoveUser(other);
  const auto taken = pool.Take();
  EXPECT_EQ(taken->block, kept);
  EXPECT_EQ(taken->evicted, 0);
}

}  // namespace
}  // namespace potluck::model
