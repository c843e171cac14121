// How long the parts of a message may be. Generous: they bound what a hostile peer can make us
// hold, not what a cluster may be.
#pragma once

#include <cstddef>
#include <cstdint>

#include "model/grammar/grammar.h"

namespace potluck::wire {

inline constexpr size_t kMaxTextBytes = 300;       // names, addresses
inline constexpr size_t kMaxLongTextBytes = 2000;  // error messages
inline constexpr int kMaxDevices = 64;             // of a worker
inline constexpr int kMaxRates = 64;               // of a device
inline constexpr int kMaxAddresses = 64;           // of a peer
inline constexpr int kMaxPeers = 1024;
inline constexpr int kMaxStages = 1024;
inline constexpr int kMaxSequences = 65536;
inline constexpr int kMaxCommands = 65536;  // of a frame
inline constexpr int kMaxStepTokens = 65536;
inline constexpr int kMaxLogprobs = 1024;  // of a token
inline constexpr int kMaxLogitBiases = 65536;
inline constexpr size_t kMaxGrammarBytes = model::kMaxGrammarBytes;
inline constexpr int64_t kMaxCount = int64_t{1} << 40;  // of positions, cuts, chunks
inline constexpr int64_t kMaxHiddenWidth = int64_t{1} << 20;
inline constexpr size_t kMaxPieceBytes = size_t{1} << 20;  // of a chunk
inline constexpr size_t kMaxMetricsBytes = size_t{256} << 10;
inline constexpr size_t kMaxPingBytes = size_t{16} << 20;
inline constexpr size_t kMaxManifestBytes = size_t{64} << 20;

}  // namespace potluck::wire
