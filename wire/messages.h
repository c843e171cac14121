// What coordinator and workers say to each other: plain data, on three kinds of links
// (wire/link.h). wire/grpc carries it between machines, wire/memory inside one process.
//
// Control link, one per worker, dialled by the worker: WorkerHello first, answered by Welcome or by
// a closed link whose status says why; then heartbeats and changes of plan. Data link, one per hop
// of a pipeline and one between each worker and the coordinator: DataHello first, then frames down
// the pipeline and results back. Weights link: WeightsHello first, then requests for chunks.
//
// A change of plan (an epoch), in five steps; all messages are idempotent by (instance, epoch):
//   1. Prepare     coordinator -> each stage's worker: fetch and load these layers -> Prepared;
//                  where the old epoch still serves, frames of the new one then fill the stages
//                  that are new, from tokens and from rows that the others have kept
//   2. Fence       coordinator -> workers of the old epoch: drop its steps        -> Fenced
//   3. Commit      coordinator -> each stage: what each sequence holds            -> Committed
//   4. replay      frames with tokens that some stage no longer has
//   5. resume      frames as ever
// An instance ends with Release.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "kernels/dtype.h"
#include "model/decoder/decoder_graph.h"
#include "model/sampling/sampler.h"
#include "model/step.h"

namespace potluck::wire {

using model::Epoch;
using model::InstanceId;
using model::SequenceId;
using model::TokenId;

// From a worker's state folder: 32 hexadecimal digits. The coordinator's is kCoordinator.
using WorkerId = std::string;
inline constexpr char kCoordinator[] = "coordinator";

using Digest = std::array<uint8_t, 32>;  // SHA-256

// The same major works both ways; a minor adds what the other side may ignore. OurVersion() makes
// ours (wire/version.h).
struct Version {
  int32_t major = 0;
  int32_t minor = 0;
  std::string build;  // for people
};

// A device as its worker has measured it.
struct DeviceProfile {
  struct Rate {
    kernels::DType dtype = kernels::DType::kF32;  // of weights
    double decode_bytes_per_second = 0;
    double prefill_operations_per_second = 0;  // multiply-adds count two
  };
  std::string device;       // "cpu", "opencl:0": unique within its worker
  std::string description;  // for people
  std::string backend;      // "cpu", "opencl", "cuda"
  std::string numerics_class;
  // Memory and bandwidth of its own; all other devices share their host's.
  bool own_memory = false;
  int64_t memory_bytes = 0;
  int64_t free_memory_bytes = 0;   // now, beside what stages hold
  int64_t held_memory_bytes = 0;   // by stages of this worker
  int64_t memory_limit_bytes = 0;  // what all stages may hold, as the owner says; 0: no limit
  double step_overhead_seconds = 0;
  double layer_overhead_seconds = 0;  // of each layer of a step, beyond computing
  std::vector<Rate> rates;
};

// ---- control link: worker -> coordinator ----

struct WorkerHello {
  Version version;
  WorkerId worker;
  std::string name;                    // a label
  uint64_t process = 0;                // drawn at each start: the same process still has its KV
  std::string host;                    // the same for all workers of one machine
  std::vector<std::string> addresses;  // "HOST:PORT" where other workers may dial it
  std::vector<DeviceProfile> devices;
  int64_t disk_free_bytes = 0;  // that fetched weights may take
  std::string metrics;          // "HOST:PORT" where Prometheus may read; empty: nowhere
};

// What has gone to one other member, over all links since the process began.
struct Traffic {
  WorkerId to;  // or kCoordinator
  int64_t sent_bytes = 0;
};

// Answered by a Ping of its number (echo false): a coordinator that falls silent is dialled again.
struct Heartbeat {
  struct Stage {
    InstanceId instance = 0;
    Epoch epoch;
    int64_t last_step = 0;    // the last that it finished
    int32_t waiting = 0;      // frames that have come and are not finished
    double busy_seconds = 0;  // computing, since the epoch began
  };
  int64_t number = 0;
  double load = 0;                         // 0..1: how busy the machine is with other things
  double own_load = 0;                     // 0..1: and with this worker, which others there see
  std::vector<int64_t> free_memory_bytes;  // by device, in WorkerHello's order
  std::vector<int64_t> held_memory_bytes;  // likewise
  int64_t disk_free_bytes = 0;
  std::vector<Stage> stages;
  std::vector<Traffic> traffic;
};

struct PrepareProgress {
  InstanceId instance = 0;
  Epoch epoch;
  int32_t stage = 0;
  double fraction = 0;
};

struct SequenceLength {
  SequenceId sequence = 0;
  int32_t length = 0;
  int32_t kept = 0;  // positions, from the first, whose hidden rows are there for a replay
};

struct Prepared {
  InstanceId instance = 0;
  Epoch epoch;
  int32_t stage = 0;
  absl::Status status;  // an error: the stage is not there, and the worker goes on living
  std::vector<SequenceLength> held;  // by a stage that serves already, in the epoch before
};

struct Fenced {
  InstanceId instance = 0;
  Epoch epoch;  // the new one
};

struct Committed {
  InstanceId instance = 0;
  Epoch epoch;
  int32_t stage = 0;
  absl::Status status;
  std::vector<SequenceLength>
      held;  // of the sequences named in Commit: positions whose KV is there
};

// The worker wants to go: its layers move first (Welcome's coordinator answers MayLeave), or at
// once where `hurry`.
struct Leaving {
  bool hurry = false;
};

// Gives the owner the machine back, or takes part again.
struct Pausing {
  bool paused = false;
};

struct LinkMeasured {
  WorkerId peer;
  absl::Status status;  // Unavailable: cannot be reached from here
  double round_trip_seconds = 0;
  double bytes_per_second = 0;
};

// A data link of this worker broke while both processes may still live.
struct LinkLost {
  InstanceId instance = 0;
  WorkerId peer;
  absl::Status status;
};

// Answers KeepCopy. OK: all of it is on the disk.
struct CopyEnded {
  Digest manifest{};
  model::StageRange range;
  absl::Status status;
};

// ---- control link: coordinator -> worker ----

struct Welcome {
  Version version;
  int64_t term = 0;
  std::string cluster;  // its name, for people
  absl::Duration heartbeat_interval;
};

struct Peer {
  WorkerId worker;  // or kCoordinator
  std::string name;
  std::vector<std::string> addresses;
};

// How two neighbours of a pipeline reach each other.
enum class HopKind : uint8_t {
  kUpstreamDials,    // the sender of activations opens the link
  kDownstreamDials,  // its receiver does: the sender's machine can dial nobody in
  kRelayed,          // neither can: over both data links to the coordinator
};

struct Hop {
  Peer peer;
  HopKind kind = HopKind::kUpstreamDials;
};

struct Prepare {
  InstanceId instance = 0;
  Epoch epoch;
  int32_t stage = 0;  // from 0
  int32_t num_stages = 1;
  std::string device;
  Digest manifest{};  // of the model
  model::StageRange range;
  int64_t context_length = 0;
  int64_t kv_capacity = 0;  // positions of all sequences together
  int64_t max_sequences = 0;
  int64_t max_tokens = 0;    // of a step
  int64_t max_outputs = 0;   // of a step
  int64_t replay_bytes = 0;  // at most so much for hidden rows, kept for replays
  kernels::DType kv_dtype = kernels::DType::kF16;
  Hop previous, next;
  std::vector<Peer> sources;  // of chunks, beside the coordinator
};

struct Fence {
  InstanceId instance = 0;
  Epoch epoch;  // the new one: steps of earlier ones are dropped
};

// What the last stage samples with, and where a sequence's answer begins in its tokens.
struct SequenceStart {
  SequenceId sequence = 0;
  model::SamplingParams sampling;
  int32_t prompt_length = 0;
  int32_t choice = 0;
  int32_t top_logprobs = -1;  // as in model::GenerationRequest
};

// Every sequence that lives on, with at most so many committed positions; all others are freed.
struct Commit {
  struct Sequence {
    SequenceStart start;
    int32_t length = 0;
  };
  InstanceId instance = 0;
  Epoch epoch;
  std::vector<Sequence> sequences;
};

struct Release {
  InstanceId instance = 0;
  Epoch epoch;  // and all before
};

// Copies these blobs' tensors to the disk cache in the background, for a stage that may have to be
// taken over. Asked again for what is there, it is looked after.
struct KeepCopy {
  Digest manifest{};
  model::StageRange range;
  std::vector<Peer> sources;
};

struct MeasureLink {
  Peer peer;
};

struct MayLeave {};

// ---- data links ----

struct DataHello {
  Version version;
  WorkerId from, to;
};

// A new sequence: empty, or with the first `fork_length` positions of another.
struct BeginCommand {
  SequenceStart start;
  SequenceId fork_from = 0;
  int32_t fork_length = 0;  // 0: empty
};

using StageCommand =
    std::variant<BeginCommand, model::TrimCommand, model::AcceptCommand, model::FreeCommand>;

struct StageTiming {
  double waiting_seconds = 0;    // between the frame's arrival and its beginning
  double computing_seconds = 0;  // from beginning to end
};

// Commands, then a step (perhaps without tokens), in the one order that all stages keep. Frames of
// an (instance, epoch) are numbered from 1 without gaps by step.number. Those that come ahead of
// the epoch's commit are replays of one sequence each; their commands are for the stages that
// compute.
struct StageFrame {
  model::Step step;
  std::vector<StageCommand> commands;
  std::vector<float> hidden;         // (T, D); empty on its way into the first stage
  std::vector<StageTiming> timings;  // of the stages before
  // In a replay the stages (from 0, rising) that compute the step: each first drops what it holds
  // of a sequence from its first token here on. The others hold these tokens: all they do is to
  // pass on the rows that they have kept, where the stage after them computes. Empty: all compute,
  // each from where it stands.
  std::vector<int32_t> replaying;
};

struct TokenResult {
  SequenceId sequence = 0;
  int32_t position = 0;  // of the new token
  TokenId id = 0;
  std::vector<model::TokenLogprob> logprobs;  // the token's own, then the likeliest
};

// From the last stage to the coordinator; also where a step could not be run, from whichever stage.
struct StepResult {
  InstanceId instance = 0;
  Epoch epoch;
  int64_t number = 0;
  absl::Status status;  // an error names the stage; the step has changed no KV there
  std::vector<TokenResult> tokens;
  std::vector<float> hidden;  // (P, D): rows of the step's tokens that want theirs, in its order
  std::vector<StageTiming> timings;
};

// ---- weights links ----

struct WeightsHello {
  Version version;
  WorkerId from;
};

struct ManifestRequest {
  Digest manifest{};
};

struct ManifestReply {
  Digest manifest{};
  absl::Status status;
  std::string bytes;
};

struct ChunkRequest {
  Digest blob{};
  int64_t index = 0;
};

// A chunk in pieces of at most 1 MiB, in order; the receiver verifies the whole.
struct ChunkPiece {
  Digest blob{};
  int64_t index = 0;
  absl::Status status;  // NotFound: ask another
  int64_t offset = 0;
  bool last = false;
  std::string bytes;
};

// The coordinator asks, for a Prometheus that does not reach the worker; the answer has its number.
struct MetricsRequest {
  int64_t number = 0;
};
struct MetricsReply {
  int64_t number = 0;
  std::string text;  // in Prometheus' text format
};

// To measure a data link: the bytes come back where `echo`. On a control link, an answer.
struct Ping {
  int64_t number = 0;
  bool echo = true;
  std::string bytes;
};

using Message = std::variant<WorkerHello, Heartbeat, PrepareProgress, Prepared, Fenced, Committed,
                             Leaving, Pausing, LinkMeasured, LinkLost, CopyEnded, Welcome, Prepare,
                             Fence, Commit, Release, KeepCopy, MeasureLink, MayLeave, DataHello,
                             StageFrame, StepResult, WeightsHello, ManifestRequest, ManifestReply,
                             ChunkRequest, ChunkPiece, Ping, MetricsRequest, MetricsReply>;

}  // namespace potluck::wire
