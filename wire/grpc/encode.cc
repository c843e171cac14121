// Messages to frames: see codec.h.
#include <algorithm>
#include <type_traits>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/text.h"
#include "potluck/v1/cluster.pb.h"
#include "wire/grpc/codec.h"
#include "wire/grpc/field_bounds.h"
#include "wire/grpc/status_codes.h"

namespace potluck::wire {
namespace {

std::string Text(std::string_view text) { return Printable(text, kMaxTextBytes); }
std::string LongText(std::string_view text) { return Printable(text, kMaxLongTextBytes); }

void Write(const Version& in, v1::Version* out) {
  out->set_major(in.major);
  out->set_minor(in.minor);
  out->set_build(Text(in.build));
}

void Write(const Epoch& in, v1::Epoch* out) {
  out->set_term(in.term);
  out->set_number(in.number);
}

void Write(const absl::Status& in, v1::Status* out) {
  out->set_code(CodeOnWire(in.code()));
  out->set_message(LongText(ToStd(in.message())));
}

void Write(const model::StageRange& in, v1::StageRange* out) {
  out->set_first_cut(in.first_cut);
  out->set_last_cut(in.last_cut);
  out->set_shard(in.shard);
  out->set_num_shards(in.num_shards);
}

void Write(const Peer& in, v1::Peer* out) {
  out->set_worker(Text(in.worker));
  out->set_name(Text(in.name));
  for (const std::string& address : in.addresses) out->add_addresses(Text(address));
}

void Write(const model::SamplingParams& in, v1::SamplingParams* out) {
  out->set_temperature(in.temperature);
  out->set_top_k(in.top_k);
  out->set_top_p(in.top_p);
  out->set_min_p(in.min_p);
  out->set_repeat_penalty(in.repeat_penalty);
  out->set_repeat_window(in.repeat_window);
  out->set_presence_penalty(in.presence_penalty);
  out->set_frequency_penalty(in.frequency_penalty);
  for (const auto& [token, bias] : in.logit_bias) {
    v1::SamplingParams::LogitBias* item = out->add_logit_bias();
    item->set_token(token);
    item->set_bias(bias);
  }
  out->set_seed(in.seed);
  out->set_grammar(in.grammar);
  out->set_grammar_after(in.grammar_after);
}

void Write(const SequenceStart& in, v1::SequenceStart* out) {
  out->set_sequence(in.sequence);
  Write(in.sampling, out->mutable_sampling());
  out->set_prompt_length(in.prompt_length);
  out->set_choice(in.choice);
  out->set_top_logprobs(in.top_logprobs);
}

void SetDigest(const Digest& in, std::string* out) {
  out->assign(reinterpret_cast<const char*>(in.data()), in.size());
}

// Fields that most messages of a change of plan begin with.
template <class In, class Out>
void WriteEpochOf(const In& in, Out* out) {
  out->set_instance(in.instance);
  Write(in.epoch, out->mutable_epoch());
}

// ---- control link: worker -> coordinator ----

void Write(const DeviceProfile& in, v1::DeviceProfile* out) {
  out->set_device(Text(in.device));
  out->set_description(Text(in.description));
  out->set_backend(Text(in.backend));
  out->set_numerics_class(Text(in.numerics_class));
  out->set_memory_bytes(in.memory_bytes);
  out->set_free_memory_bytes(in.free_memory_bytes);
  out->set_step_overhead_seconds(in.step_overhead_seconds);
  out->set_own_memory(in.own_memory);
  out->set_layer_overhead_seconds(in.layer_overhead_seconds);
  out->set_memory_limit_bytes(in.memory_limit_bytes);
  out->set_held_memory_bytes(in.held_memory_bytes);
  for (const DeviceProfile::Rate& rate : in.rates) {
    v1::DeviceProfile::Rate* item = out->add_rates();
    item->set_dtype(kernels::Traits(rate.dtype).gguf_type);
    item->set_decode_bytes_per_second(rate.decode_bytes_per_second);
    item->set_prefill_operations_per_second(rate.prefill_operations_per_second);
  }
}

void Write(const WorkerHello& in, v1::Frame& frame) {
  v1::WorkerHello* out = frame.mutable_worker_hello();
  Write(in.version, out->mutable_version());
  out->set_worker(Text(in.worker));
  out->set_name(Text(in.name));
  out->set_process(in.process);
  out->set_host(Text(in.host));
  for (const std::string& address : in.addresses) out->add_addresses(Text(address));
  for (const DeviceProfile& device : in.devices) Write(device, out->add_devices());
  out->set_disk_free_bytes(in.disk_free_bytes);
  out->set_metrics(Text(in.metrics));
}

void Write(const Heartbeat& in, v1::Frame& frame) {
  v1::Heartbeat* out = frame.mutable_heartbeat();
  out->set_number(in.number);
  out->set_load(in.load);
  out->set_own_load(in.own_load);
  for (const int64_t bytes : in.free_memory_bytes) out->add_free_memory_bytes(bytes);
  for (const int64_t bytes : in.held_memory_bytes) out->add_held_memory_bytes(bytes);
  out->set_disk_free_bytes(in.disk_free_bytes);
  for (const Heartbeat::Stage& stage : in.stages) {
    v1::Heartbeat::Stage* item = out->add_stages();
    WriteEpochOf(stage, item);
    item->set_last_step(stage.last_step);
    item->set_waiting(stage.waiting);
    item->set_busy_seconds(stage.busy_seconds);
  }
  for (const Traffic& traffic : in.traffic) {
    if (out->traffic_size() == kMaxPeers) break;  // a long life among many
    v1::Traffic* item = out->add_traffic();
    item->set_to(Text(traffic.to));
    item->set_sent_bytes(traffic.sent_bytes);
  }
}

void Write(const MetricsRequest& in, v1::Frame& frame) {
  frame.mutable_metrics_request()->set_number(in.number);
}

void Write(const MetricsReply& in, v1::Frame& frame) {
  frame.mutable_metrics_reply()->set_number(in.number);
  frame.mutable_metrics_reply()->set_text(in.text.substr(0, kMaxMetricsBytes));
}

void Write(const PrepareProgress& in, v1::Frame& frame) {
  v1::PrepareProgress* out = frame.mutable_prepare_progress();
  WriteEpochOf(in, out);
  out->set_stage(in.stage);
  out->set_fraction(in.fraction);
}

template <class Out>
void WriteHeld(const std::vector<SequenceLength>& all, Out* out) {
  for (const SequenceLength& held : all) {
    v1::SequenceLength* item = out->add_held();
    item->set_sequence(held.sequence);
    item->set_length(held.length);
    item->set_kept(held.kept);
  }
}

void Write(const Prepared& in, v1::Frame& frame) {
  v1::Prepared* out = frame.mutable_prepared();
  WriteEpochOf(in, out);
  out->set_stage(in.stage);
  Write(in.status, out->mutable_status());
  WriteHeld(in.held, out);
}

void Write(const Fenced& in, v1::Frame& frame) { WriteEpochOf(in, frame.mutable_fenced()); }

void Write(const Committed& in, v1::Frame& frame) {
  v1::Committed* out = frame.mutable_committed();
  WriteEpochOf(in, out);
  out->set_stage(in.stage);
  Write(in.status, out->mutable_status());
  WriteHeld(in.held, out);
}

void Write(const Leaving& in, v1::Frame& frame) { frame.mutable_leaving()->set_hurry(in.hurry); }

void Write(const Pausing& in, v1::Frame& frame) { frame.mutable_pausing()->set_paused(in.paused); }

void Write(const LinkMeasured& in, v1::Frame& frame) {
  v1::LinkMeasured* out = frame.mutable_link_measured();
  out->set_peer(Text(in.peer));
  Write(in.status, out->mutable_status());
  out->set_round_trip_seconds(in.round_trip_seconds);
  out->set_bytes_per_second(in.bytes_per_second);
}

void Write(const LinkLost& in, v1::Frame& frame) {
  v1::LinkLost* out = frame.mutable_link_lost();
  out->set_instance(in.instance);
  out->set_peer(Text(in.peer));
  Write(in.status, out->mutable_status());
}

void Write(const CopyEnded& in, v1::Frame& frame) {
  v1::CopyEnded* out = frame.mutable_copy_ended();
  SetDigest(in.manifest, out->mutable_manifest());
  Write(in.range, out->mutable_range());
  Write(in.status, out->mutable_status());
}

// ---- control link: coordinator -> worker ----

void Write(const Welcome& in, v1::Frame& frame) {
  v1::Welcome* out = frame.mutable_welcome();
  Write(in.version, out->mutable_version());
  out->set_term(in.term);
  out->set_cluster(Text(in.cluster));
  out->set_heartbeat_interval_ns(absl::ToInt64Nanoseconds(in.heartbeat_interval));
}

void Write(const Hop& in, v1::Hop* out) {
  Write(in.peer, out->mutable_peer());
  out->set_kind(static_cast<v1::HopKind>(static_cast<int>(in.kind) + v1::HOP_KIND_UPSTREAM_DIALS));
}

void Write(const Prepare& in, v1::Frame& frame) {
  v1::Prepare* out = frame.mutable_prepare();
  WriteEpochOf(in, out);
  out->set_stage(in.stage);
  out->set_num_stages(in.num_stages);
  out->set_device(Text(in.device));
  SetDigest(in.manifest, out->mutable_manifest());
  Write(in.range, out->mutable_range());
  out->set_context_length(in.context_length);
  out->set_kv_capacity(in.kv_capacity);
  out->set_max_sequences(in.max_sequences);
  out->set_max_tokens(in.max_tokens);
  out->set_max_outputs(in.max_outputs);
  out->set_replay_bytes(in.replay_bytes);
  out->set_kv_dtype(kernels::Traits(in.kv_dtype).gguf_type);
  Write(in.previous, out->mutable_previous());
  Write(in.next, out->mutable_next());
  for (const Peer& source : in.sources) Write(source, out->add_sources());
}

void Write(const Fence& in, v1::Frame& frame) { WriteEpochOf(in, frame.mutable_fence()); }

void Write(const Commit& in, v1::Frame& frame) {
  v1::Commit* out = frame.mutable_commit();
  WriteEpochOf(in, out);
  for (const Commit::Sequence& sequence : in.sequences) {
    v1::Commit::Sequence* item = out->add_sequences();
    Write(sequence.start, item->mutable_start());
    item->set_length(sequence.length);
  }
}

void Write(const Release& in, v1::Frame& frame) { WriteEpochOf(in, frame.mutable_release()); }

void Write(const KeepCopy& in, v1::Frame& frame) {
  v1::KeepCopy* out = frame.mutable_keep_copy();
  SetDigest(in.manifest, out->mutable_manifest());
  Write(in.range, out->mutable_range());
  for (const Peer& source : in.sources) Write(source, out->add_sources());
}

void Write(const MeasureLink& in, v1::Frame& frame) {
  Write(in.peer, frame.mutable_measure_link()->mutable_peer());
}

void Write(const MayLeave&, v1::Frame& frame) { frame.mutable_may_leave(); }

// ---- data links ----

void Write(const DataHello& in, v1::Frame& frame) {
  v1::DataHello* out = frame.mutable_data_hello();
  Write(in.version, out->mutable_version());
  out->set_from(Text(in.from));
  out->set_to(Text(in.to));
}

struct WriteCommand {
  v1::StageCommand* out;

  void operator()(const BeginCommand& in) const {
    v1::StageCommand::Begin* begin = out->mutable_begin();
    Write(in.start, begin->mutable_start());
    begin->set_fork_from(in.fork_from);
    begin->set_fork_length(in.fork_length);
  }
  void operator()(const model::TrimCommand& in) const {
    out->mutable_trim()->set_sequence(in.sequence);
    out->mutable_trim()->set_length(in.length);
  }
  void operator()(const model::AcceptCommand& in) const {
    out->mutable_accept()->set_sequence(in.sequence);
    out->mutable_accept()->mutable_path()->Add(in.path.begin(), in.path.end());
  }
  void operator()(const model::FreeCommand& in) const {
    out->mutable_free()->set_sequence(in.sequence);
  }
};

template <class Out>
void WriteTimings(const std::vector<StageTiming>& timings, Out* out) {
  for (const StageTiming& timing : timings) {
    v1::StageTiming* item = out->add_timings();
    item->set_waiting_seconds(timing.waiting_seconds);
    item->set_computing_seconds(timing.computing_seconds);
  }
}

void Write(const StageFrame& in, v1::Frame& frame) {
  v1::StageFrame* out = frame.mutable_stage_frame();
  WriteEpochOf(in.step, out);
  out->set_number(in.step.number);
  out->mutable_tokens()->Reserve(static_cast<int>(in.step.tokens.size()));
  for (const model::StepToken& token : in.step.tokens) {
    v1::StepToken* item = out->add_tokens();
    item->set_sequence(token.sequence);
    item->set_id(token.id);
    item->set_position(token.position);
    item->set_parent_plus_one(token.parent + 1);
    item->set_kind(static_cast<v1::TokenKind>(token.kind));
    item->set_adapter_slot(token.adapter_slot);
    item->set_wanted(static_cast<v1::Wanted>(token.wanted));
  }
  for (const StageCommand& command : in.commands)
    std::visit(WriteCommand{out->add_commands()}, command);
  WriteTimings(in.timings, out);
  if (!in.step.tokens.empty())
    out->set_hidden_width(static_cast<int64_t>(in.hidden.size() / in.step.tokens.size()));
  out->mutable_replaying()->Add(in.replaying.begin(), in.replaying.end());
}

void Write(const StepResult& in, v1::Frame& frame) {
  v1::StepResult* out = frame.mutable_step_result();
  WriteEpochOf(in, out);
  out->set_number(in.number);
  Write(in.status, out->mutable_status());
  for (const TokenResult& token : in.tokens) {
    v1::TokenResult* item = out->add_tokens();
    item->set_sequence(token.sequence);
    item->set_position(token.position);
    item->set_id(token.id);
    for (const model::TokenLogprob& logprob : token.logprobs) {
      v1::TokenLogprob* pair = item->add_logprobs();
      pair->set_id(logprob.id);
      pair->set_logprob(logprob.logprob);
    }
  }
  WriteTimings(in.timings, out);
}

void Write(const Ping& in, v1::Frame& frame) {
  frame.mutable_ping()->set_number(in.number);
  frame.mutable_ping()->set_echo(in.echo);
}

// ---- weights links ----

void Write(const WeightsHello& in, v1::Frame& frame) {
  Write(in.version, frame.mutable_weights_hello()->mutable_version());
  frame.mutable_weights_hello()->set_from(Text(in.from));
}

void Write(const ManifestRequest& in, v1::Frame& frame) {
  SetDigest(in.manifest, frame.mutable_manifest_request()->mutable_manifest());
}

void Write(const ManifestReply& in, v1::Frame& frame) {
  SetDigest(in.manifest, frame.mutable_manifest_reply()->mutable_manifest());
  Write(in.status, frame.mutable_manifest_reply()->mutable_status());
}

void Write(const ChunkRequest& in, v1::Frame& frame) {
  SetDigest(in.blob, frame.mutable_chunk_request()->mutable_blob());
  frame.mutable_chunk_request()->set_index(in.index);
}

void Write(const ChunkPiece& in, v1::Frame& frame) {
  v1::ChunkPiece* out = frame.mutable_chunk_piece();
  SetDigest(in.blob, out->mutable_blob());
  out->set_index(in.index);
  Write(in.status, out->mutable_status());
  out->set_offset(in.offset);
  out->set_last(in.last);
}

// ---- frames ----

struct Bulk {
  std::string_view bytes;
  std::shared_ptr<const void> owner;
};

Bulk TakeBulk(Message& message) {
  return std::visit(
      [](auto& in) -> Bulk {
        if constexpr (requires { in.hidden; }) {
          const auto owner = std::make_shared<const std::vector<float>>(std::move(in.hidden));
          const auto* data = reinterpret_cast<const char*>(owner->data());
          return {{data, owner->size() * sizeof(float)}, owner};
        }
        if constexpr (requires { in.bytes; }) {
          const auto owner = std::make_shared<const std::string>(std::move(in.bytes));
          return {*owner, owner};
        }
        return {};
      },
      message);
}

// Appends the tag and the length of Frame.bulk: its bytes follow.
void AppendBulkHeader(size_t bytes, std::string& head) {
  constexpr char kTag = (v1::Frame::kBulkFieldNumber << 3) | 2;  // length-delimited
  head.push_back(kTag);
  for (; bytes >= 0x80; bytes >>= 7) head.push_back(static_cast<char>(bytes | 0x80));
  head.push_back(static_cast<char>(bytes));
}

constexpr size_t kMaxBulkHeaderBytes = 1 + 10 + 1 + 10;  // with bulk_following_bytes

}  // namespace

absl::StatusOr<std::vector<EncodedFrame>> EncodeMessage(Message message) {
  v1::Frame frame;
  if (const auto* step = std::get_if<StageFrame>(&message);
      step && !step->hidden.empty() &&
      (step->step.tokens.empty() || step->hidden.size() % step->step.tokens.size() != 0)) {
    return absl::InvalidArgumentError("a frame's hidden values are not a row for each token");
  }
  std::visit([&frame](const auto& in) { Write(in, frame); }, message);
  Bulk bulk = TakeBulk(message);
  const size_t message_bytes = frame.ByteSizeLong() + kMaxBulkHeaderBytes;
  if (message_bytes > kMaxFrameBytes || bulk.bytes.size() > kMaxBulkBytes) {
    return absl::ResourceExhaustedError(absl::StrCat("a message of ", message_bytes, " and ",
                                                     bulk.bytes.size(),
                                                     " bytes is too large for the wire"));
  }

  std::vector<EncodedFrame> frames;
  size_t room = kMaxFrameBytes - message_bytes;
  do {
    const size_t part = std::min({bulk.bytes.size(), room, kMaxBulkPartBytes});
    frame.set_bulk_following_bytes(bulk.bytes.size() - part);
    EncodedFrame& encoded = frames.emplace_back();
    frame.SerializeToString(&encoded.head);
    if (part > 0) {
      AppendBulkHeader(part, encoded.head);
      encoded.bulk = bulk.bytes.substr(0, part);
      encoded.owner = bulk.owner;
      bulk.bytes.remove_prefix(part);
    }
    frame.Clear();
    room = kMaxBulkPartBytes;
  } while (!bulk.bytes.empty());
  return frames;
}

EncodedFrame EncodeGoodbye(const absl::Status& why) {
  v1::Frame frame;
  Write(why, frame.mutable_goodbye());
  return {frame.SerializeAsString(), {}, nullptr};
}

}  // namespace potluck::wire
