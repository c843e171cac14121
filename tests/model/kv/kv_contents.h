// Stands in for a model in tests of the KV cache: the row of a token is a number made of its whole
// path (adapter and tokens from position 0), which is all that real keys and values depend on. Rows
// are written where the cache's index says, and read back as attention would.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <span>
#include <vector>

#include "model/kv/kv_cache.h"

namespace potluck::model {

// Of a path that is one token longer; a path begins as its adapter's slot.
uint64_t PathHash(uint64_t parent, TokenId token);

// Writes the row of token `i` of the placed step into every layer.
void WriteRow(const KvCache& cache, size_t i, uint64_t path);

// `paths[p]`: the hash of the path to position p, up to token `i` of the step itself. Fails unless
// every position that the token sees holds its row, in every layer.
::testing::AssertionResult SeesPath(const KvCache& cache, size_t i,
                                    std::span<const uint64_t> paths);

// A run of tokens after a sequence's committed end, to be put into a step.
void AppendRun(Step& step, SequenceId sequence, int32_t committed, std::span<const TokenId> ids,
               TokenKind kind, uint16_t adapter_slot = 0);

}  // namespace potluck::model
