// Who is in the cluster: takes the workers' control and data links, watches their heartbeats, has
// their links measured, and tells who came, went, and changed.
//
// A worker counts while both of its links stand. Silence makes it suspect after 2 s and lost after
// 3 s, or later where its link is known to pause (patience.h); a broken link counts at once. One
// that is lost three times in ten minutes rests for ten.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/executor.h"
#include "coordinator/membership/member.h"
#include "wire/link.h"
#include "wire/messages.h"

namespace potluck::coordinator {

class MembershipEvents {
 public:
  virtual ~MembershipEvents() = default;
  // Somebody is there, or is something else than before: plans may change.
  virtual void OnMembersChanged() = 0;
  // Its stages cannot be reached any more. Called once per loss, before OnMembersChanged.
  // `in_order`: it was told that it may leave.
  virtual void OnMemberLost(const wire::WorkerId& worker, bool in_order) = 0;
  virtual void OnHeartbeat(const wire::WorkerId& from, const wire::Heartbeat& heartbeat) = 0;
  // What a member says about instances: PrepareProgress, Prepared, Fenced, Committed, LinkLost,
  // CopyEnded; and MetricsReply. An error closes its links with it.
  virtual absl::Status OnInstanceMessage(const wire::WorkerId& from, wire::Message message) = 0;
  // StageFrame (to be relayed) and StepResult.
  virtual absl::Status OnDataMessage(const wire::WorkerId& from, wire::Message message) = 0;
};

// Single-threaded: lives on its executor.
class Membership {
 public:
  static constexpr absl::Duration kHeartbeatInterval = absl::Milliseconds(500);
  static constexpr int kMostLosses = 3;
  static constexpr absl::Duration kLossPeriod = absl::Minutes(10), kRest = absl::Minutes(10);
  // A worker whose links have not been measured by then is used with what is known. A dial that a
  // firewall swallows fails within 5 s: that much is known before a first plan.
  static constexpr absl::Duration kMeasureWithin = absl::Seconds(6);
  static constexpr absl::Duration kHelloTime = absl::Seconds(10);  // from a link to its hello
  static constexpr size_t kMostMembers = 256;                      // with those that may come back

  struct Options {
    wire::Version version;
    int64_t term = 0;
    std::string cluster;
    std::vector<KnownWorker> known;  // from an earlier life
  };

  // `executor` and `events` must outlive the object.
  Membership(Options options, Executor& executor, MembershipEvents& events);
  ~Membership();

  // A control or data link that a worker has dialled.
  wire::LinkHandler& Accept(wire::LinkKind kind, std::unique_ptr<wire::Link> link);

  const std::map<wire::WorkerId, Member>& members() const { return members_; }
  std::vector<KnownWorker> Known() const;
  const Member* Find(const wire::WorkerId& worker) const;
  MemberState StateOf(const wire::WorkerId& worker) const;  // kLost where it is unknown
  wire::Peer PeerOf(const wire::WorkerId& worker) const;
  // How activations get from one worker to the other.
  wire::HopKind HopBetween(const wire::WorkerId& from, const wire::WorkerId& to) const;

  // False where there is no such link now: nothing was sent.
  bool SendControl(const wire::WorkerId& worker, wire::Message message);
  bool SendData(const wire::WorkerId& worker, wire::Message message);

  // A person's wishes: to move its layers away, to give its owner the machine, to use it again,
  // also where it rests. NotFound where nobody knows the worker.
  absl::Status Drain(const wire::WorkerId& worker);
  absl::Status Pause(const wire::WorkerId& worker);
  absl::Status Resume(const wire::WorkerId& worker);
  // A worker that wants to leave holds nothing any more.
  void LetLeave(const wire::WorkerId& worker);
  // It answers heartbeats and nothing else: its links are closed, as if they had broken.
  void Expel(const wire::WorkerId& worker, const absl::Status& why);
  // Neither end has answered over the direct way from one to the other.
  void MarkUnreachable(const wire::WorkerId& from, const wire::WorkerId& to);

 private:
  class PeerLink;
  struct Links {
    std::shared_ptr<PeerLink> control, data;
    std::unique_ptr<Timer> silence, measuring;
    std::vector<wire::WorkerId> unmeasured;  // the links still to be measured, in order
  };

  absl::StatusOr<Member*> FindToChange(const wire::WorkerId& worker);
  absl::Status OnMessage(PeerLink& link, wire::Message message);
  absl::Status Greet(PeerLink& link, wire::Message message);
  absl::Status OnHello(PeerLink& link, wire::WorkerHello hello);
  absl::Status MakeRoom();
  absl::Status OnDataHello(PeerLink& link, const wire::DataHello& hello);
  absl::Status OnControl(const wire::WorkerId& worker, wire::Message message);
  absl::Status OnData(const wire::WorkerId& worker, wire::Message message);
  void OnClosed(PeerLink& link, const absl::Status& why);
  void Heard(const wire::WorkerId& worker);
  void OnSilence(const wire::WorkerId& worker);
  void Lose(const wire::WorkerId& worker, const absl::Status& why);
  void ForgetLinks(const wire::WorkerHello& hello);
  void StartMeasuring(const wire::WorkerId& worker);
  void MeasureNext(const wire::WorkerId& worker);
  void OnMeasured(const wire::WorkerId& worker, const wire::LinkMeasured& result);
  void Retire(std::shared_ptr<PeerLink>& link);
  bool Dials(const wire::WorkerId& from, const wire::WorkerId& to) const;
  absl::Duration now() const { return executor_.clock().SinceStart(); }

  const Options options_;
  Executor& executor_;
  MembershipEvents& events_;
  std::map<wire::WorkerId, Member> members_;
  std::map<wire::WorkerId, Links> links_;
  std::vector<std::shared_ptr<PeerLink>> strangers_;  // before their hello
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace potluck::coordinator
