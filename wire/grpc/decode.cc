#include "wire/grpc/decode.h"

#include <algorithm>
#include <string>
#include <utility>

#include "potluck/v1/cluster.pb.h"
#include "wire/grpc/fields.h"
#include "wire/grpc/status_codes.h"

namespace potluck::wire {
namespace {

Version Read(Fields& fields, const v1::Version& in) {
  return {fields.NotNegative("version", in.major()), fields.NotNegative("version", in.minor()),
          fields.Text("build", in.build())};
}

Epoch Read(Fields& fields, const v1::Epoch& in) {
  return {fields.Id("term", in.term()), fields.Id("epoch", in.number())};
}

absl::Status Read(Fields& fields, const v1::Status& in) {
  const std::optional<absl::StatusCode> code = CodeFromWire(in.code());
  if (!code) fields.Fail("status", absl::StrCat("has the unknown code ", in.code()));
  return absl::Status(code.value_or(absl::StatusCode::kUnknown),
                      fields.Text("status", in.message(), kMaxLongTextBytes));
}

model::StageRange Read(Fields& fields, const v1::StageRange& in) {
  model::StageRange range{fields.Count("first cut", in.first_cut()),
                          fields.Count("last cut", in.last_cut()), in.shard(), in.num_shards()};
  fields.Require(range.first_cut < range.last_cut, "range", "is empty");
  fields.Between("number of shards", range.num_shards, 1, kMaxStages);
  fields.Between("shard", range.shard, 0, range.num_shards - 1);
  return range;
}

template <class Repeated>
std::vector<std::string> ReadAddresses(Fields& fields, const Repeated& in) {
  std::vector<std::string> addresses;
  if (!fields.AtMost("addresses", in.size(), kMaxAddresses)) return addresses;
  for (const std::string& address : in) addresses.push_back(fields.Text("address", address));
  return addresses;
}

Peer Read(Fields& fields, const v1::Peer& in) {
  return {fields.WorkerOrNone("peer", in.worker()), fields.Text("peer's name", in.name()),
          ReadAddresses(fields, in.addresses())};
}

template <class Repeated>
std::vector<Peer> ReadPeers(Fields& fields, const Repeated& in) {
  std::vector<Peer> peers;
  if (!fields.AtMost("sources", in.size(), kMaxPeers)) return peers;
  for (const v1::Peer& peer : in) peers.push_back(Read(fields, peer));
  return peers;
}

model::SamplingParams Read(Fields& fields, const v1::SamplingParams& in) {
  model::SamplingParams params;
  params.temperature = fields.Finite("temperature", in.temperature());
  params.top_k = in.top_k();
  params.top_p = fields.Finite("top_p", in.top_p());
  params.min_p = fields.Finite("min_p", in.min_p());
  params.repeat_penalty = fields.Finite("repeat_penalty", in.repeat_penalty());
  params.repeat_window = in.repeat_window();
  params.presence_penalty = fields.Finite("presence_penalty", in.presence_penalty());
  params.frequency_penalty = fields.Finite("frequency_penalty", in.frequency_penalty());
  if (fields.AtMost("logit biases", in.logit_bias_size(), kMaxLogitBiases)) {
    for (const v1::SamplingParams::LogitBias& item : in.logit_bias()) {
      params.logit_bias.emplace_back(fields.NotNegative("logit bias's token", item.token()),
                                     fields.Finite("logit bias", item.bias()));
    }
  }
  params.seed = in.seed();
  params.grammar = fields.Text("grammar", in.grammar(), kMaxGrammarBytes);
  params.grammar_after = fields.Text("grammar_after", in.grammar_after());
  return params;
}

SequenceStart Read(Fields& fields, const v1::SequenceStart& in) {
  SequenceStart start;
  start.sequence = fields.Id("sequence", in.sequence());
  start.sampling = Read(fields, in.sampling());
  start.prompt_length = fields.NotNegative("prompt length", in.prompt_length());
  start.choice = fields.NotNegative("choice", in.choice());
  start.top_logprobs = fields.Between("top_logprobs", in.top_logprobs(), -1, kMaxLogprobs - 1);
  return start;
}

template <class Out, class In>
Out ReadEpochOf(Fields& fields, const In& in) {
  Out out;
  out.instance = fields.Id("instance", in.instance());
  out.epoch = Read(fields, in.epoch());
  return out;
}

// ---- control link: worker -> coordinator ----

DeviceProfile Read(Fields& fields, const v1::DeviceProfile& in) {
  DeviceProfile device;
  device.device = fields.Text("device", in.device());
  device.description = fields.Text("description", in.description());
  device.backend = fields.Text("backend", in.backend());
  device.numerics_class = fields.Text("numerics class", in.numerics_class());
  device.memory_bytes = fields.Bytes("memory", in.memory_bytes());
  device.free_memory_bytes = fields.Bytes("free memory", in.free_memory_bytes());
  device.step_overhead_seconds = fields.Quantity("step overhead", in.step_overhead_seconds());
  device.own_memory = in.own_memory();
  device.layer_overhead_seconds = fields.Quantity("layer overhead", in.layer_overhead_seconds());
  device.memory_limit_bytes = fields.Bytes("memory limit", in.memory_limit_bytes());
  device.held_memory_bytes = fields.Bytes("held memory", in.held_memory_bytes());
  if (!fields.AtMost("rates", in.rates_size(), kMaxRates)) return device;
  for (const v1::DeviceProfile::Rate& item : in.rates()) {
    // A later version may have measured tensor types that this one doesn't know.
    const std::optional<kernels::DType> dtype = kernels::DTypeFromGguf(item.dtype());
    if (!dtype) continue;
    device.rates.push_back({*dtype, fields.Quantity("rate", item.decode_bytes_per_second()),
                            fields.Quantity("rate", item.prefill_operations_per_second())});
  }
  return device;
}

WorkerHello Read(Fields& fields, const v1::WorkerHello& in) {
  WorkerHello hello;
  hello.version = Read(fields, in.version());
  hello.worker = fields.Worker("id", in.worker());
  hello.name = fields.Text("name", in.name());
  hello.process = in.process();
  hello.host = fields.Text("host", in.host());
  hello.addresses = ReadAddresses(fields, in.addresses());
  if (fields.AtMost("devices", in.devices_size(), kMaxDevices)) {
    for (const v1::DeviceProfile& device : in.devices())
      hello.devices.push_back(Read(fields, device));
  }
  hello.disk_free_bytes = fields.Bytes("free disk", in.disk_free_bytes());
  hello.metrics = fields.Text("metrics", in.metrics());
  return hello;
}

Heartbeat Read(Fields& fields, const v1::Heartbeat& in) {
  Heartbeat heartbeat;
  heartbeat.number = fields.Id("number", in.number());
  heartbeat.load = fields.Quantity("load", in.load());
  fields.Require(heartbeat.load <= 1, "load", "is above 1");
  heartbeat.own_load = fields.Quantity("own load", in.own_load());
  fields.Require(heartbeat.own_load <= 1, "own load", "is above 1");
  if (fields.AtMost("devices", in.free_memory_bytes_size(), kMaxDevices)) {
    for (const int64_t bytes : in.free_memory_bytes())
      heartbeat.free_memory_bytes.push_back(fields.Bytes("free memory", bytes));
  }
  if (fields.AtMost("devices", in.held_memory_bytes_size(), kMaxDevices)) {
    for (const int64_t bytes : in.held_memory_bytes())
      heartbeat.held_memory_bytes.push_back(fields.Bytes("held memory", bytes));
  }
  heartbeat.disk_free_bytes = fields.Bytes("free disk", in.disk_free_bytes());
  if (fields.AtMost("traffic", in.traffic_size(), kMaxPeers)) {
    for (const v1::Traffic& item : in.traffic())
      heartbeat.traffic.push_back(
          {fields.Worker("peer", item.to()), fields.Bytes("sent bytes", item.sent_bytes())});
  }
  if (!fields.AtMost("stages", in.stages_size(), kMaxStages)) return heartbeat;
  for (const v1::Heartbeat::Stage& item : in.stages()) {
    auto stage = ReadEpochOf<Heartbeat::Stage>(fields, item);
    stage.last_step = fields.Id("last step", item.last_step());
    stage.waiting = fields.NotNegative("waiting frames", item.waiting());
    stage.busy_seconds = fields.Quantity("busy time", item.busy_seconds());
    heartbeat.stages.push_back(stage);
  }
  return heartbeat;
}

MetricsRequest Read(Fields& fields, const v1::MetricsRequest& in) {
  return {.number = fields.Id("number", in.number())};
}

MetricsReply Read(Fields& fields, const v1::MetricsReply& in) {
  return {.number = fields.Id("number", in.number()),
          .text = fields.Text("metrics", in.text(), kMaxMetricsBytes)};
}

PrepareProgress Read(Fields& fields, const v1::PrepareProgress& in) {
  auto progress = ReadEpochOf<PrepareProgress>(fields, in);
  progress.stage = fields.NotNegative("stage", in.stage());
  progress.fraction = fields.Quantity("fraction", in.fraction());
  fields.Require(progress.fraction <= 1, "fraction", "is above 1");
  return progress;
}

template <class Repeated>
std::vector<SequenceLength> ReadHeld(Fields& fields, const Repeated& in) {
  std::vector<SequenceLength> held;
  if (!fields.AtMost("sequences", in.size(), kMaxSequences)) return held;
  for (const v1::SequenceLength& item : in) {
    held.push_back({fields.Id("sequence", item.sequence()),
                    fields.NotNegative("sequence's length", item.length()),
                    fields.NotNegative("kept rows", item.kept())});
  }
  return held;
}

Prepared Read(Fields& fields, const v1::Prepared& in) {
  auto prepared = ReadEpochOf<Prepared>(fields, in);
  prepared.stage = fields.NotNegative("stage", in.stage());
  prepared.status = Read(fields, in.status());
  prepared.held = ReadHeld(fields, in.held());
  return prepared;
}

Fenced Read(Fields& fields, const v1::Fenced& in) { return ReadEpochOf<Fenced>(fields, in); }

Committed Read(Fields& fields, const v1::Committed& in) {
  auto committed = ReadEpochOf<Committed>(fields, in);
  committed.stage = fields.NotNegative("stage", in.stage());
  committed.status = Read(fields, in.status());
  committed.held = ReadHeld(fields, in.held());
  return committed;
}

Leaving Read(Fields&, const v1::Leaving& in) { return {in.hurry()}; }
Pausing Read(Fields&, const v1::Pausing& in) { return {in.paused()}; }

LinkMeasured Read(Fields& fields, const v1::LinkMeasured& in) {
  return {fields.Worker("peer", in.peer()), Read(fields, in.status()),
          fields.Quantity("round trip", in.round_trip_seconds()),
          fields.Quantity("bandwidth", in.bytes_per_second())};
}

LinkLost Read(Fields& fields, const v1::LinkLost& in) {
  return {fields.Id("instance", in.instance()), fields.Worker("peer", in.peer()),
          Read(fields, in.status())};
}

CopyEnded Read(Fields& fields, const v1::CopyEnded& in) {
  return {fields.Sha256("manifest", in.manifest()), Read(fields, in.range()),
          Read(fields, in.status())};
}

// ---- control link: coordinator -> worker ----

Welcome Read(Fields& fields, const v1::Welcome& in) {
  Welcome welcome;
  welcome.version = Read(fields, in.version());
  welcome.term = fields.Id("term", in.term());
  welcome.cluster = fields.Text("cluster", in.cluster());
  welcome.heartbeat_interval = absl::Nanoseconds(
      fields.Between<int64_t>("heartbeat interval in nanoseconds", in.heartbeat_interval_ns(),
                              1'000'000, 3600 * int64_t{1'000'000'000}));
  return welcome;
}

Hop Read(Fields& fields, const v1::Hop& in) {
  const int kind = fields.Between<int>("hop's kind", in.kind(), v1::HOP_KIND_UPSTREAM_DIALS,
                                       v1::HOP_KIND_RELAYED);
  return {Read(fields, in.peer()), static_cast<HopKind>(kind - v1::HOP_KIND_UPSTREAM_DIALS)};
}

Prepare Read(Fields& fields, const v1::Prepare& in) {
  auto prepare = ReadEpochOf<Prepare>(fields, in);
  prepare.num_stages = fields.Between("number of stages", in.num_stages(), 1, kMaxStages);
  prepare.stage = fields.Between("stage", in.stage(), 0, prepare.num_stages - 1);
  prepare.device = fields.Text("device", in.device());
  prepare.manifest = fields.Sha256("manifest", in.manifest());
  prepare.range = Read(fields, in.range());
  prepare.context_length = fields.Count("context length", in.context_length());
  prepare.kv_capacity = fields.Count("KV capacity", in.kv_capacity());
  prepare.max_sequences = fields.Count("number of sequences", in.max_sequences());
  prepare.max_tokens = fields.Count("number of tokens", in.max_tokens());
  prepare.max_outputs = fields.Count("number of outputs", in.max_outputs());
  prepare.replay_bytes = fields.Count("bytes for replays", in.replay_bytes());
  prepare.kv_dtype = fields.DType("KV type", in.kv_dtype());
  prepare.previous = Read(fields, in.previous());
  prepare.next = Read(fields, in.next());
  prepare.sources = ReadPeers(fields, in.sources());
  return prepare;
}

Fence Read(Fields& fields, const v1::Fence& in) { return ReadEpochOf<Fence>(fields, in); }

Commit Read(Fields& fields, const v1::Commit& in) {
  auto commit = ReadEpochOf<Commit>(fields, in);
  if (!fields.AtMost("sequences", in.sequences_size(), kMaxSequences)) return commit;
  for (const v1::Commit::Sequence& item : in.sequences()) {
    commit.sequences.push_back(
        {Read(fields, item.start()), fields.NotNegative("sequence's length", item.length())});
  }
  return commit;
}

Release Read(Fields& fields, const v1::Release& in) { return ReadEpochOf<Release>(fields, in); }

KeepCopy Read(Fields& fields, const v1::KeepCopy& in) {
  return {fields.Sha256("manifest", in.manifest()), Read(fields, in.range()),
          ReadPeers(fields, in.sources())};
}

MeasureLink Read(Fields& fields, const v1::MeasureLink& in) { return {Read(fields, in.peer())}; }
MayLeave Read(Fields&, const v1::MayLeave&) { return {}; }

// ---- data links ----

DataHello Read(Fields& fields, const v1::DataHello& in) {
  return {Read(fields, in.version()), fields.Worker("sender", in.from()),
          fields.Worker("receiver", in.to())};
}

StageCommand Read(Fields& fields, const v1::StageCommand& in) {
  switch (in.command_case()) {
    case v1::StageCommand::kBegin:
      return BeginCommand{Read(fields, in.begin().start()),
                          fields.Id("fork's source", in.begin().fork_from()),
                          fields.NotNegative("fork's length", in.begin().fork_length())};
    case v1::StageCommand::kTrim:
      return model::TrimCommand{fields.Id("sequence", in.trim().sequence()),
                                fields.NotNegative("length", in.trim().length())};
    case v1::StageCommand::kAccept: {
      model::AcceptCommand accept{fields.Id("sequence", in.accept().sequence()), {}};
      if (!fields.AtMost("accepted drafts", in.accept().path_size(), kMaxStepTokens)) return accept;
      for (const int32_t draft : in.accept().path())
        accept.path.push_back(fields.NotNegative("accepted draft", draft));
      return accept;
    }
    case v1::StageCommand::kFree:
      return model::FreeCommand{fields.Id("sequence", in.free().sequence())};
    case v1::StageCommand::COMMAND_NOT_SET:
      break;
  }
  // A command cannot be left out: what comes after it stands on it.
  fields.Fail("command", "is of no known kind");
  return model::FreeCommand{};
}

model::StepToken Read(Fields& fields, const v1::StepToken& in, int index) {
  model::StepToken token;
  token.sequence = fields.Id("sequence", in.sequence());
  token.id = fields.NotNegative("token", in.id());
  token.position = fields.NotNegative("position", in.position());
  token.parent = fields.Between("token's parent", in.parent_plus_one(), 0, index) - 1;
  token.kind = static_cast<model::TokenKind>(
      fields.Between<int>("token's kind", in.kind(), v1::TOKEN_KIND_PROMPT, v1::TOKEN_KIND_DRAFT));
  token.adapter_slot =
      static_cast<uint16_t>(fields.Between<uint32_t>("adapter slot", in.adapter_slot(), 0, 0xFFFF));
  token.wanted = static_cast<model::Wanted>(
      fields.Between<int>("token's wish", in.wanted(), v1::WANTED_NOTHING, v1::WANTED_HIDDEN));
  return token;
}

template <class Repeated>
std::vector<StageTiming> ReadTimings(Fields& fields, const Repeated& in) {
  std::vector<StageTiming> timings;
  if (!fields.AtMost("timings", in.size(), kMaxStages)) return timings;
  for (const v1::StageTiming& item : in) {
    timings.push_back({fields.Quantity("waiting time", item.waiting_seconds()),
                       fields.Quantity("computing time", item.computing_seconds())});
  }
  return timings;
}

StageFrame Read(Fields& fields, const v1::StageFrame& in) {
  StageFrame frame;
  frame.step = ReadEpochOf<model::Step>(fields, in);
  frame.step.number = fields.Id("number", in.number());
  if (fields.AtMost("tokens", in.tokens_size(), kMaxStepTokens)) {
    frame.step.tokens.reserve(in.tokens_size());
    for (int i = 0; i < in.tokens_size(); ++i)
      frame.step.tokens.push_back(Read(fields, in.tokens(i), i));
  }
  if (fields.AtMost("commands", in.commands_size(), kMaxCommands)) {
    for (const v1::StageCommand& command : in.commands())
      frame.commands.push_back(Read(fields, command));
  }
  frame.timings = ReadTimings(fields, in.timings());
  fields.Between<int64_t>("width of hidden rows", in.hidden_width(), 0, kMaxHiddenWidth);
  fields.Require(in.hidden_dtype() == kernels::Traits(kernels::DType::kF32).gguf_type,
                 "type of hidden rows", "is not f32");
  if (fields.AtMost("replaying stages", in.replaying_size(), kMaxStages)) {
    for (const int32_t stage : in.replaying())
      frame.replaying.push_back(fields.NotNegative("replaying stage", stage));
  }
  return frame;
}

TokenResult Read(Fields& fields, const v1::TokenResult& in) {
  TokenResult token{fields.Id("sequence", in.sequence()),
                    fields.NotNegative("position", in.position()),
                    fields.NotNegative("token", in.id()),
                    {}};
  if (!fields.AtMost("logprobs", in.logprobs_size(), kMaxLogprobs)) return token;
  for (const v1::TokenLogprob& item : in.logprobs()) {
    // -infinity is a logprob, too: of a token that cannot be.
    fields.Require(!std::isnan(item.logprob()), "logprob", "is no number");
    token.logprobs.push_back({fields.NotNegative("logprob's token", item.id()), item.logprob()});
  }
  return token;
}

StepResult Read(Fields& fields, const v1::StepResult& in) {
  auto result = ReadEpochOf<StepResult>(fields, in);
  result.number = fields.Id("number", in.number());
  result.status = Read(fields, in.status());
  if (fields.AtMost("tokens", in.tokens_size(), kMaxStepTokens)) {
    for (const v1::TokenResult& token : in.tokens()) result.tokens.push_back(Read(fields, token));
  }
  result.timings = ReadTimings(fields, in.timings());
  return result;
}

Ping Read(Fields& fields, const v1::Ping& in) {
  return {fields.Id("number", in.number()), in.echo(), {}};
}

// ---- weights links ----

WeightsHello Read(Fields& fields, const v1::WeightsHello& in) {
  return {Read(fields, in.version()), fields.Worker("sender", in.from())};
}

ManifestRequest Read(Fields& fields, const v1::ManifestRequest& in) {
  return {fields.Sha256("manifest", in.manifest())};
}

ManifestReply Read(Fields& fields, const v1::ManifestReply& in) {
  return {fields.Sha256("manifest", in.manifest()), Read(fields, in.status()), {}};
}

ChunkRequest Read(Fields& fields, const v1::ChunkRequest& in) {
  return {fields.Sha256("blob", in.blob()), fields.Count("chunk", in.index())};
}

ChunkPiece Read(Fields& fields, const v1::ChunkPiece& in) {
  ChunkPiece piece;
  piece.blob = fields.Sha256("blob", in.blob());
  piece.index = fields.Count("chunk", in.index());
  piece.status = Read(fields, in.status());
  piece.offset = fields.Count("offset", in.offset());
  piece.last = in.last();
  return piece;
}

using Decoded = absl::StatusOr<std::optional<Message>>;

template <class In>
Decoded Decode(const char* name, const In& in) {
  Fields fields(name);
  Message message = Read(fields, in);
  if (!fields.ok()) return fields.status();
  return std::optional<Message>(std::move(message));
}

}  // namespace

Decoded DecodeFields(const v1::Frame& frame) {
  switch (frame.message_case()) {
    case v1::Frame::kWorkerHello:
      return Decode("hello", frame.worker_hello());
    case v1::Frame::kHeartbeat:
      return Decode("heartbeat", frame.heartbeat());
    case v1::Frame::kPrepareProgress:
      return Decode("progress report", frame.prepare_progress());
    case v1::Frame::kPrepared:
      return Decode("prepared", frame.prepared());
    case v1::Frame::kFenced:
      return Decode("fenced", frame.fenced());
    case v1::Frame::kCommitted:
      return Decode("committed", frame.committed());
    case v1::Frame::kLeaving:
      return Decode("leaving", frame.leaving());
    case v1::Frame::kPausing:
      return Decode("pausing", frame.pausing());
    case v1::Frame::kLinkMeasured:
      return Decode("link measurement", frame.link_measured());
    case v1::Frame::kLinkLost:
      return Decode("link loss", frame.link_lost());
    case v1::Frame::kCopyEnded:
      return Decode("end of a copy", frame.copy_ended());
    case v1::Frame::kMetricsReply:
      return Decode("metrics", frame.metrics_reply());
    case v1::Frame::kMetricsRequest:
      return Decode("request for metrics", frame.metrics_request());
    case v1::Frame::kWelcome:
      return Decode("welcome", frame.welcome());
    case v1::Frame::kPrepare:
      return Decode("prepare", frame.prepare());
    case v1::Frame::kFence:
      return Decode("fence", frame.fence());
    case v1::Frame::kCommit:
      return Decode("commit", frame.commit());
    case v1::Frame::kRelease:
      return Decode("release", frame.release());
    case v1::Frame::kKeepCopy:
      return Decode("wish for a copy", frame.keep_copy());
    case v1::Frame::kMeasureLink:
      return Decode("wish for a measurement", frame.measure_link());
    case v1::Frame::kMayLeave:
      return Decode("permission to leave", frame.may_leave());
    case v1::Frame::kDataHello:
      return Decode("data hello", frame.data_hello());
    case v1::Frame::kStageFrame:
      return Decode("step", frame.stage_frame());
    case v1::Frame::kStepResult:
      return Decode("step's result", frame.step_result());
    case v1::Frame::kPing:
      return Decode("ping", frame.ping());
    case v1::Frame::kWeightsHello:
      return Decode("weights hello", frame.weights_hello());
    case v1::Frame::kManifestRequest:
      return Decode("request for a manifest", frame.manifest_request());
    case v1::Frame::kManifestReply:
      return Decode("manifest", frame.manifest_reply());
    case v1::Frame::kChunkRequest:
      return Decode("request for a chunk", frame.chunk_request());
    case v1::Frame::kChunkPiece:
      return Decode("chunk", frame.chunk_piece());
    case v1::Frame::kGoodbye:
    case v1::Frame::MESSAGE_NOT_SET:
      break;
  }
  return std::optional<Message>();
}

absl::Status DecodeStatus(const v1::Status& status) {
  Fields fields("goodbye");
  const absl::Status read = Read(fields, status);
  return fields.ok() ? read : fields.status();
}

}  // namespace potluck::wire
