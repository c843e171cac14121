#include "coordinator/membership/membership.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "coordinator/membership/hello_check.h"
#include "wire/version.h"

namespace potluck::coordinator {

// One link, and whose it is once it has said hello.
class Membership::PeerLink final : public wire::LinkHandler {
 public:
  PeerLink(Membership& membership, wire::LinkKind kind, std::unique_ptr<wire::Link> link)
      : membership_(membership),
        kind_(kind),
        link_(std::move(link)),
        hello_timer_(membership.executor_) {
    hello_timer_.Start(kHelloTime, [this] {
      End(absl::DeadlineExceededError("no hello came on a link to the coordinator"));
    });
  }

  void OnMessage(wire::Message message) override {
    if (closed_) return;
    const absl::Status status = membership_.OnMessage(*this, std::move(message));
    if (!status.ok() && !closed_) End(status);
  }
  void OnClosed(absl::Status why) override {
    closed_ = true;
    membership_.OnClosed(*this, why);
  }

  void Send(wire::Message message) {
    if (!closed_) link_->Send(std::move(message));
  }
  void Close(const absl::Status& why) {
    if (!std::exchange(closed_, true)) link_->Close(why);
  }

  wire::LinkKind kind() const { return kind_; }
  const wire::PeerIdentity& identity() const { return link_->peer(); }
  const wire::WorkerId& worker() const { return worker_; }  // empty before its hello
  void Introduce(const wire::WorkerId& worker) {
    worker_ = worker;
    hello_timer_.Cancel();
  }

 private:
  void End(const absl::Status& why) {
    Close(why);
    membership_.OnClosed(*this, why);
  }

  Membership& membership_;
  const wire::LinkKind kind_;
  const std::unique_ptr<wire::Link> link_;
  wire::WorkerId worker_;
  Timer hello_timer_;
  bool closed_ = false;
};

Membership::Membership(Options options, Executor& executor, MembershipEvents& events)
    : options_(std::move(options)), executor_(executor), events_(events) {
  for (const KnownWorker& known : options_.known) {
    Member& member = members_[known.worker];
    member.hello.worker = known.worker;
    member.hello.name = known.name;
    member.heard_at = now() - known.silent_for;
    member.drained = known.drained;
    member.paused = known.paused;
    member.left = known.left;
  }
}

Membership::~Membership() = default;

wire::LinkHandler& Membership::Accept(wire::LinkKind kind, std::unique_ptr<wire::Link> link) {
  strangers_.push_back(std::make_shared<PeerLink>(*this, kind, std::move(link)));
  return *strangers_.back();
}

std::vector<KnownWorker> Membership::Known() const {
  std::vector<KnownWorker> known;
  for (const auto& [id, member] : members_) {
    known.push_back({.worker = id,
                     .name = member.hello.name,
                     .drained = member.drained,
                     .paused = member.paused,
                     .left = member.left,
                     .silent_for = now() - member.heard_at});
  }
  return known;
}

const Member* Membership::Find(const wire::WorkerId& worker) const {
  const auto found = members_.find(worker);
  return found == members_.end() ? nullptr : &found->second;
}

MemberState Membership::StateOf(const wire::WorkerId& worker) const {
  const Member* member = Find(worker);
  return member == nullptr ? MemberState::kLost : member->state(now());
}

wire::Peer Membership::PeerOf(const wire::WorkerId& worker) const {
  const Member* member = Find(worker);
  if (member == nullptr) return {.worker = worker, .name = worker, .addresses = {}};
  return {.worker = worker, .name = member->hello.name, .addresses = member->hello.addresses};
}

bool Membership::Dials(const wire::WorkerId& from, const wire::WorkerId& to) const {
  const Member* dialler = Find(from);
  const Member* dialled = Find(to);
  return dialler != nullptr && dialled != nullptr && dialler->Dials(*dialled);
}

wire::HopKind Membership::HopBetween(const wire::WorkerId& from, const wire::WorkerId& to) const {
  if (from == to || Dials(from, to)) return wire::HopKind::kUpstreamDials;
  return Dials(to, from) ? wire::HopKind::kDownstreamDials : wire::HopKind::kRelayed;
}

bool Membership::SendControl(const wire::WorkerId& worker, wire::Message message) {
  const auto found = links_.find(worker);
  if (found == links_.end() || found->second.control == nullptr) return false;
  found->second.control->Send(std::move(message));
  return true;
}

bool Membership::SendData(const wire::WorkerId& worker, wire::Message message) {
  const auto found = links_.find(worker);
  if (found == links_.end() || found->second.data == nullptr) return false;
  found->second.data->Send(std::move(message));
  return true;
}

absl::StatusOr<Member*> Membership::FindToChange(const wire::WorkerId& worker) {
  const auto found = members_.find(worker);
  if (found != members_.end()) return &found->second;
  return absl::NotFoundError(absl::StrCat("there is no worker ", worker));
}

absl::Status Membership::Drain(const wire::WorkerId& worker) {
  POTLUCK_ASSIGN_OR_RETURN(Member* const member, FindToChange(worker));
  member->drained = true;
  events_.OnMembersChanged();
  return absl::OkStatus();
}

absl::Status Membership::Pause(const wire::WorkerId& worker) {
  POTLUCK_ASSIGN_OR_RETURN(Member* const member, FindToChange(worker));
  member->paused = true;
  events_.OnMembersChanged();
  return absl::OkStatus();
}

absl::Status Membership::Resume(const wire::WorkerId& worker) {
  POTLUCK_ASSIGN_OR_RETURN(Member* const member, FindToChange(worker));
  member->paused = member->drained = false;
  member->rests_until = absl::ZeroDuration();
  events_.OnMembersChanged();
  if (!member->owner_paused) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "its owner has paused it: only `potluck resume` on that machine takes it back");
}

void Membership::LetLeave(const wire::WorkerId& worker) {
  const auto found = members_.find(worker);
  if (found == members_.end() || !found->second.wants_to_leave || found->second.left) return;
  found->second.left = true;
  SendControl(worker, wire::MayLeave{});
}

void Membership::Expel(const wire::WorkerId& worker, const absl::Status& why) {
  if (!links_.contains(worker)) return;
  Lose(worker, why);
}

void Membership::MarkUnreachable(const wire::WorkerId& from, const wire::WorkerId& to) {
  const auto found = members_.find(from);
  if (found != members_.end()) found->second.links[to].reachable = false;
}

// --- Links ---------------------------------------------------------------------------------------

absl::Status Membership::OnMessage(PeerLink& link, wire::Message message) {
  if (link.worker().empty()) return Greet(link, std::move(message));
  const wire::WorkerId worker = link.worker();
  if (link.kind() == wire::LinkKind::kControl) return OnControl(worker, std::move(message));
  return OnData(worker, std::move(message));
}

absl::Status Membership::Greet(PeerLink& link, wire::Message message) {
  if (link.kind() == wire::LinkKind::kControl) {
    if (auto* hello = std::get_if<wire::WorkerHello>(&message))
      return OnHello(link, std::move(*hello));
  } else if (const auto* hello = std::get_if<wire::DataHello>(&message)) {
    return OnDataHello(link, *hello);
  }
  return absl::InvalidArgumentError("a link has to begin with its hello");
}

absl::Status Membership::OnHello(PeerLink& link, wire::WorkerHello hello) {
  POTLUCK_RETURN_IF_ERROR(
      wire::CheckVersion(options_.version, hello.version, "the coordinator", "this worker"));
  POTLUCK_RETURN_IF_ERROR(CheckHello(hello));
  const wire::WorkerId& proved = link.identity().worker;
  if (!proved.empty() && proved != hello.worker) {
    return absl::PermissionDeniedError(absl::StrCat("this worker's certificate is ", proved,
                                                    "'s, but it calls itself ", hello.worker));
  }
  const auto known = members_.find(hello.worker);
  if (known == members_.end()) POTLUCK_RETURN_IF_ERROR(MakeRoom());
  if (known != members_.end() && known->second.has_control) {
    if (known->second.hello.process != hello.process && !known->second.suspect) {
      return absl::AlreadyExistsError(absl::StrCat(
          "worker ", hello.worker, " (", known->second.hello.name,
          ") is in the cluster already, from ", links_[hello.worker].control->identity().address,
          ": stop that process, or give this one a state folder of its own (--state-dir)"));
    }
    Lose(hello.worker, absl::UnavailableError("the worker has dialled again"));
  }
  ForgetLinks(hello);
  Member& member = members_[hello.worker];
  if (member.hello.process != hello.process) member.patience = {};
  member.heard_at = now();
  member.has_control = true;
  member.suspect = member.wants_to_leave = member.left = member.owner_paused = false;
  member.heartbeat = {};
  link.Introduce(hello.worker);
  const auto stranger = std::ranges::find(strangers_, &link, &std::shared_ptr<PeerLink>::get);
  Links& links = links_[hello.worker];
  links.control = std::move(*stranger);
  strangers_.erase(stranger);
  links.silence = std::make_unique<Timer>(executor_);
  member.hello = std::move(hello);
  links.control->Send(wire::Welcome{.version = options_.version,
                                    .term = options_.term,
                                    .cluster = options_.cluster,
                                    .heartbeat_interval = kHeartbeatInterval});
  Heard(member.hello.worker);
  Log(LogLevel::kInfo, "worker joined",
      {{"worker", member.hello.worker},
       {"name", member.hello.name},
       {"devices", member.hello.devices.size()}});
  return absl::OkStatus();
}

// For one more member, whoever has been gone longest is forgotten.
absl::Status Membership::MakeRoom() {
  if (members_.size() < kMostMembers) return absl::OkStatus();
  auto longest = members_.end();
  for (auto at = members_.begin(); at != members_.end(); ++at) {
    if (at->second.has_control) continue;
    if (longest == members_.end() || at->second.heard_at < longest->second.heard_at) longest = at;
  }
  if (longest == members_.end()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a cluster has at most ", kMostMembers, " workers"));
  }
  for (auto& [id, member] : members_) member.links.erase(longest->first);
  members_.erase(longest);
  return absl::OkStatus();
}

absl::Status Membership::OnDataHello(PeerLink& link, const wire::DataHello& hello) {
  POTLUCK_RETURN_IF_ERROR(
      wire::CheckVersion(options_.version, hello.version, "the coordinator", "this worker"));
  const wire::WorkerId& proved = link.identity().worker;
  if (!proved.empty() && proved != hello.from) {
    return absl::PermissionDeniedError(absl::StrCat("this worker's certificate is ", proved,
                                                    "'s, but it calls itself ", hello.from));
  }
  const auto known = members_.find(hello.from);
  if (hello.to != wire::kCoordinator || known == members_.end() || !known->second.has_control)
    return absl::FailedPreconditionError("a data link comes after the control link");
  Links& links = links_[hello.from];
  if (links.data != nullptr) {
    // What was on its way over the old one is lost.
    Lose(hello.from, absl::UnavailableError("the worker's data link was dialled again"));
    return absl::UnavailableError("dial again, the control link first");
  }
  link.Introduce(hello.from);
  const auto stranger = std::ranges::find(strangers_, &link, &std::shared_ptr<PeerLink>::get);
  links.data = std::move(*stranger);
  strangers_.erase(stranger);
  known->second.has_data = true;
  StartMeasuring(hello.from);
  events_.OnMembersChanged();
  return absl::OkStatus();
}

void Membership::OnClosed(PeerLink& link, const absl::Status& why) {
  if (link.worker().empty()) {
    const auto stranger = std::ranges::find(strangers_, &link, &std::shared_ptr<PeerLink>::get);
    if (stranger == strangers_.end()) return;
    Log(LogLevel::kWarning, "link refused", {{"peer", link.identity().address}, {"status", why}});
    std::shared_ptr<PeerLink> gone = std::move(*stranger);
    strangers_.erase(stranger);
    Retire(gone);
    return;
  }
  const auto found = links_.find(link.worker());
  if (found == links_.end()) return;
  if (found->second.control.get() == &link || found->second.data.get() == &link)
    Lose(wire::WorkerId(link.worker()), why);
}

// Links may be in the midst of a call: they go in a task of their own.
void Membership::Retire(std::shared_ptr<PeerLink>& link) {
  if (link == nullptr) return;
  executor_.Post([gone = std::move(link)] {});
}

void Membership::Lose(const wire::WorkerId& worker, const absl::Status& why) {
  const auto found = links_.find(worker);
  if (found == links_.end()) return;
  Links links = std::move(found->second);
  links_.erase(found);
  for (auto* link : {&links.control, &links.data}) {
    if (*link != nullptr) (*link)->Close(why);
    Retire(*link);
  }
  Member& member = members_[worker];
  const bool in_order = member.left;
  const bool was_connected = member.connected();
  member.has_control = member.has_data = member.measured = false;
  if (!in_order && was_connected) {
    std::erase_if(member.losses, [&](absl::Duration at) { return now() - at > kLossPeriod; });
    member.losses.push_back(now());
    if (member.losses.size() >= kMostLosses) {
      member.losses.clear();
      member.rests_until = now() + kRest;
      executor_.PostAfter(kRest, [this, alive = std::weak_ptr(alive_)] {
        if (!alive.expired()) events_.OnMembersChanged();
      });
    }
  }
  Log(in_order ? LogLevel::kInfo : LogLevel::kWarning, in_order ? "worker left" : "worker lost",
      {{"worker", worker}, {"name", member.hello.name}, {"status", why}});
  if (was_connected) {
    events_.OnMemberLost(worker, in_order);
    events_.OnMembersChanged();
  }
}

// --- Heartbeats ----------------------------------------------------------------------------------

void Membership::Heard(const wire::WorkerId& worker) {
  Member& member = members_[worker];
  member.patience.Note(now(), now() - member.heard_at);
  member.heard_at = now();
  links_[worker].silence->Start(member.patience.suspect_after(),
                                [this, worker] { OnSilence(worker); });
  if (!std::exchange(member.suspect, false)) return;
  events_.OnMembersChanged();
}

void Membership::OnSilence(const wire::WorkerId& worker) {
  Member& member = members_[worker];
  member.suspect = true;
  const absl::Duration lost_in = member.patience.lost_after() - member.patience.suspect_after();
  links_[worker].silence->Start(lost_in, [this, worker] {
    Member& silent = members_[worker];
    silent.patience.Note(now(), now() - silent.heard_at);
    Lose(worker, absl::UnavailableError("nothing was heard of it"));
  });
  events_.OnMembersChanged();
}

absl::Status Membership::OnControl(const wire::WorkerId& worker, wire::Message message) {
  Heard(worker);
  Member& member = members_[worker];
  if (auto* heartbeat = std::get_if<wire::Heartbeat>(&message)) {
    if (heartbeat->free_memory_bytes.size() > member.hello.devices.size())
      return absl::InvalidArgumentError("a heartbeat tells of devices that nobody has");
    member.heartbeat = std::move(*heartbeat);
    SendControl(worker, wire::Ping{.number = member.heartbeat.number, .echo = false, .bytes = ""});
    events_.OnHeartbeat(worker, member.heartbeat);
  } else if (const auto* leaving = std::get_if<wire::Leaving>(&message)) {
    if (leaving->hurry) {
      member.left = true;
      Lose(worker, absl::UnavailableError("the worker leaves at once"));
      return absl::OkStatus();
    }
    member.wants_to_leave = true;
    events_.OnMembersChanged();
  } else if (const auto* pausing = std::get_if<wire::Pausing>(&message)) {
    if (std::exchange(member.owner_paused, pausing->paused) != pausing->paused)
      events_.OnMembersChanged();
  } else if (const auto* measured = std::get_if<wire::LinkMeasured>(&message)) {
    OnMeasured(worker, *measured);
  } else if (std::holds_alternative<wire::PrepareProgress>(message) ||
             std::holds_alternative<wire::Prepared>(message) ||
             std::holds_alternative<wire::Fenced>(message) ||
             std::holds_alternative<wire::Committed>(message) ||
             std::holds_alternative<wire::LinkLost>(message) ||
             std::holds_alternative<wire::CopyEnded>(message) ||
             std::holds_alternative<wire::MetricsReply>(message)) {
    return events_.OnInstanceMessage(worker, std::move(message));
  } else {
    return absl::InvalidArgumentError(absl::StrCat(
        "message ", message.index(), " does not belong on a control link from a worker"));
  }
  return absl::OkStatus();
}

absl::Status Membership::OnData(const wire::WorkerId& worker, wire::Message message) {
  if (auto* ping = std::get_if<wire::Ping>(&message)) {
    if (ping->echo) SendData(worker, wire::Ping{ping->number, false, std::move(ping->bytes)});
    return absl::OkStatus();
  }
  if (std::holds_alternative<wire::StageFrame>(message) ||
      std::holds_alternative<wire::StepResult>(message))
    return events_.OnDataMessage(worker, std::move(message));
  return absl::InvalidArgumentError(absl::StrCat(
      "message ", message.index(), " does not belong on a data link to the coordinator"));
}

// --- Measuring -----------------------------------------------------------------------------------

// A process that is new may be elsewhere; one that has come back may be reached where it was not.
void Membership::ForgetLinks(const wire::WorkerHello& hello) {
  const auto known = members_.find(hello.worker);
  if (known == members_.end()) return;
  const bool is_new = known->second.hello.process != hello.process;
  const auto stale = [&](const LinkQuality& link) { return is_new || !link.reachable; };
  std::erase_if(known->second.links, [&](const auto& entry) { return stale(entry.second); });
  for (auto& [id, other] : members_) {
    const auto link = other.links.find(hello.worker);
    if (link != other.links.end() && stale(link->second)) other.links.erase(link);
  }
}

// A new worker measures its link to the coordinator and to the others, one after another. Workers
// of one host reach each other as fast as memory allows: those are not measured.
void Membership::StartMeasuring(const wire::WorkerId& worker) {
  Links& links = links_[worker];
  const Member& member = members_[worker];
  links.unmeasured.clear();
  for (const auto& [id, other] : members_) {
    if (id == worker || !other.connected() || member.links.contains(id) ||
        other.hello.addresses.empty())
      continue;
    links.unmeasured.push_back(id);
  }
  links.unmeasured.push_back(wire::kCoordinator);
  links.measuring = std::make_unique<Timer>(executor_);
  links.measuring->Start(kMeasureWithin, [this, worker] {
    members_[worker].measured = true;  // the others go on being measured
    events_.OnMembersChanged();
  });
  MeasureNext(worker);
}

void Membership::MeasureNext(const wire::WorkerId& worker) {
  Links& links = links_[worker];
  if (links.unmeasured.empty()) return;
  const wire::WorkerId& to = links.unmeasured.back();
  const wire::Peer peer = to == wire::kCoordinator ? wire::Peer{.worker = to} : PeerOf(to);
  links.control->Send(wire::MeasureLink{peer});
}

void Membership::OnMeasured(const wire::WorkerId& worker, const wire::LinkMeasured& result) {
  Links& links = links_[worker];
  Member& member = members_[worker];
  const bool fine = result.status.ok() && result.round_trip_seconds >= 0 &&
                    result.bytes_per_second > 0 && result.round_trip_seconds < 3600 &&
                    result.bytes_per_second < 1e13;
  if (links.unmeasured.empty() || links.unmeasured.back() != result.peer) return;
  links.unmeasured.pop_back();
  if (fine) {
    member.links[result.peer] = {true, result.round_trip_seconds, result.bytes_per_second};
  } else {
    member.links[result.peer].reachable = false;
  }
  if (!links.unmeasured.empty()) {
    MeasureNext(worker);
    return;
  }
  links.measuring->Cancel();
  member.measured = true;
  events_.OnMembersChanged();
}

}  // namespace potluck::coordinator
