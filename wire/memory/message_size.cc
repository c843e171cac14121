#include "wire/memory/message_size.h"

#include <type_traits>
#include <variant>

namespace potluck::wire {
namespace {

constexpr int64_t kEnvelopeBytes = 32;  // framing, and the fields that every message has
constexpr int64_t kNumberBytes = 8;     // a field of its own
constexpr int64_t kTokenBytes = 16;     // of a step

int64_t PeerBytes(const Peer& peer) {
  int64_t bytes = static_cast<int64_t>(peer.worker.size() + peer.name.size());
  for (const std::string& address : peer.addresses) bytes += static_cast<int64_t>(address.size());
  return bytes;
}

int64_t StartBytes(const SequenceStart& start) {
  return 10 * kNumberBytes + kNumberBytes * static_cast<int64_t>(start.sampling.logit_bias.size());
}

int64_t CommandBytes(const StageCommand& command) {
  if (const auto* begin = std::get_if<BeginCommand>(&command)) return StartBytes(begin->start);
  if (const auto* accept = std::get_if<model::AcceptCommand>(&command))
    return kNumberBytes + 4 * static_cast<int64_t>(accept->path.size());
  return 2 * kNumberBytes;
}

struct BodyBytes {
  int64_t operator()(const WorkerHello& hello) const {
    auto bytes = static_cast<int64_t>(hello.name.size() + hello.host.size());
    for (const DeviceProfile& device : hello.devices)
      bytes += 128 + 3 * kNumberBytes * static_cast<int64_t>(device.rates.size());
    return bytes;
  }
  int64_t operator()(const Heartbeat& heartbeat) const {
    return 6 * kNumberBytes * static_cast<int64_t>(heartbeat.stages.size());
  }
  int64_t operator()(const Prepared& prepared) const {
    return 3 * kNumberBytes * static_cast<int64_t>(prepared.held.size());
  }
  int64_t operator()(const Committed& committed) const {
    return 3 * kNumberBytes * static_cast<int64_t>(committed.held.size());
  }
  int64_t operator()(const Prepare& prepare) const {
    int64_t bytes = 128 + PeerBytes(prepare.previous.peer) + PeerBytes(prepare.next.peer);
    for (const Peer& source : prepare.sources) bytes += PeerBytes(source);
    return bytes;
  }
  int64_t operator()(const Commit& commit) const {
    int64_t bytes = 0;
    for (const Commit::Sequence& sequence : commit.sequences)
      bytes += kNumberBytes + StartBytes(sequence.start);
    return bytes;
  }
  int64_t operator()(const StageFrame& frame) const {
    auto bytes = static_cast<int64_t>(frame.hidden.size() * sizeof(float) +
                                      frame.timings.size() * sizeof(StageTiming) +
                                      frame.replaying.size() * sizeof(int32_t));
    bytes += kTokenBytes * static_cast<int64_t>(frame.step.tokens.size());
    for (const StageCommand& command : frame.commands) bytes += CommandBytes(command);
    return bytes;
  }
  int64_t operator()(const StepResult& result) const {
    auto bytes =
        static_cast<int64_t>(result.status.message().size() + result.timings.size() * 2 * 8 +
                             result.hidden.size() * sizeof(float));
    for (const TokenResult& token : result.tokens)
      bytes += kTokenBytes + kNumberBytes * static_cast<int64_t>(token.logprobs.size());
    return bytes;
  }
  int64_t operator()(const ManifestReply& reply) const {
    return static_cast<int64_t>(reply.bytes.size());
  }
  int64_t operator()(const ChunkPiece& piece) const {
    return static_cast<int64_t>(piece.bytes.size());
  }
  int64_t operator()(const Ping& ping) const { return static_cast<int64_t>(ping.bytes.size()); }
  template <typename Other>
  int64_t operator()(const Other&) const {
    return 2 * kNumberBytes;
  }
};

}  // namespace

int64_t EstimateBytes(const Message& message) {
  return kEnvelopeBytes + std::visit(BodyBytes{}, message);
}

}  // namespace potluck::wire
