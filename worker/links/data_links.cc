#include "worker/links/data_links.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "wire/version.h"
#include "worker/links/data_link.h"

namespace potluck::worker {
namespace {

// A link that lived so long was a good one: the next wait is short again.
const absl::Duration kSettled = absl::Seconds(5);

}  // namespace

Route RouteOf(const wire::Hop& hop, bool upstream) {
  switch (hop.kind) {
    case wire::HopKind::kUpstreamDials:
      return {hop.peer.worker, !upstream};
    case wire::HopKind::kDownstreamDials:
      return {hop.peer.worker, upstream};
    case wire::HopKind::kRelayed:
      break;
  }
  return CoordinatorRoute();
}

DataLinks::DataLinks(wire::WorkerId self, wire::Version version, Executor& executor,
                     wire::Transport& transport, uint64_t seed, DataLinkEvents& events)
    : self_(std::move(self)),
      version_(std::move(version)),
      executor_(executor),
      transport_(transport),
      seed_(seed),
      events_(events),
      retired_(executor) {}

DataLinks::~DataLinks() = default;

void DataLinks::SetWanted(const std::vector<wire::Peer>& peers) {
  std::set<wire::WorkerId> wanted;
  for (const wire::Peer& peer : peers) {
    if (peer.worker == self_ || !wanted.insert(peer.worker).second) continue;
    const auto [at, is_new] =
        dialled_.try_emplace(peer.worker, Dialled{.peer = peer,
                                                  .link = nullptr,
                                                  .since = {},
                                                  .back_off = BackOff(++seed_),
                                                  .retry = nullptr});
    Dialled& dialled = at->second;
    if (is_new) {
      dialled.retry = std::make_unique<Timer>(executor_);
      Dial(dialled);
    } else if (dialled.peer.addresses != peer.addresses) {
      dialled.peer = peer;
      dialled.back_off.Reset();
      if (dialled.link == nullptr) Dial(dialled);
    }
  }
  for (auto at = dialled_.begin(); at != dialled_.end();) {
    if (wanted.contains(at->first)) {
      ++at;
      continue;
    }
    const Route route{at->first, true};
    std::unique_ptr<DataLink> link = std::move(at->second.link);
    at = dialled_.erase(at);
    if (link == nullptr) continue;
    Retire(std::move(link), absl::OkStatus());
    events_.OnWritable(route);  // whoever waits for it learns that it is gone
  }
}

void DataLinks::Dial(Dialled& dialled) {
  dialled.retry->Cancel();
  dialled.since = executor_.clock().SinceStart();
  dialled.link = std::make_unique<DataLink>(*this, dialled.peer);
}

Sent DataLinks::Send(const Route& route, wire::Message message) {
  DataLink* link = nullptr;
  if (route.dialled) {
    const auto found = dialled_.find(route.peer);
    if (found != dialled_.end()) link = found->second.link.get();
  } else {
    const auto found = accepted_.find(route.peer);
    if (found != accepted_.end()) link = found->second.get();
  }
  if (link == nullptr) return Sent::kNoLink;
  return link->Send(std::move(message)) ? Sent::kYes : Sent::kFull;
}

wire::LinkHandler& DataLinks::Accept(std::unique_ptr<wire::Link> link) {
  strangers_.push_back(std::make_unique<DataLink>(*this, std::move(link)));
  DataLink& stranger = *strangers_.back();
  if (accepted_.size() + strangers_.size() > kMostAccepted) {
    const absl::Status full = absl::ResourceExhaustedError("too many data links");
    stranger.Close(full);
    OnClosed(stranger, full);
  }
  return stranger;
}

absl::Status DataLinks::Introduce(DataLink& link, const wire::DataHello& hello) {
  const wire::WorkerId& proved = link.identity().worker;
  POTLUCK_RETURN_IF_ERROR(wire::CheckVersion(
      version_, hello.version, absl::StrCat("worker ", self_), absl::StrCat("worker ", proved)));
  if (hello.to != self_)
    return absl::InvalidArgumentError(absl::StrCat("this is ", self_, ", not ", hello.to));
  if (hello.from.empty() || hello.from == self_ || hello.from == wire::kCoordinator ||
      (!proved.empty() && proved != hello.from)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a link from ", proved, " says that it comes from ", hello.from));
  }
  const auto at = std::ranges::find(strangers_, &link, &std::unique_ptr<DataLink>::get);
  std::unique_ptr<DataLink> owned = std::move(*at);
  strangers_.erase(at);
  link.set_peer(hello.from);
  std::unique_ptr<DataLink>& place = accepted_[hello.from];
  if (place != nullptr)
    Retire(std::move(place), absl::AbortedError("a newer link has taken its place"));
  place = std::move(owned);
  events_.OnWritable(link.route());
  return absl::OkStatus();
}

void DataLinks::OnClosed(DataLink& link, const absl::Status& why) {
  std::unique_ptr<DataLink> owned;
  const Route route = link.route();
  if (!link.introduced()) {
    const auto at = std::ranges::find(strangers_, &link, &std::unique_ptr<DataLink>::get);
    if (at == strangers_.end()) return;
    owned = std::move(*at);
    strangers_.erase(at);
  } else if (route.dialled) {
    const auto at = dialled_.find(route.peer);
    if (at == dialled_.end() || at->second.link.get() != &link) return;
    Dialled& dialled = at->second;
    owned = std::move(dialled.link);
    if (executor_.clock().SinceStart() - dialled.since >= kSettled) dialled.back_off.Reset();
    dialled.retry->Start(dialled.back_off.Next(), [this, &dialled] { Dial(dialled); });
  } else {
    const auto at = accepted_.find(route.peer);
    if (at == accepted_.end() || at->second.get() != &link) return;
    owned = std::move(at->second);
    accepted_.erase(at);
  }
  const bool known = owned->introduced();
  Retire(std::move(owned), why);
  if (known) {
    events_.OnLinkLost(route, why);
    events_.OnWritable(route);  // whoever waits for it learns that it is gone
  }
}

void DataLinks::Retire(std::unique_ptr<DataLink> link, const absl::Status& why) {
  link->Close(why);
  retired_.Add(std::move(link));
}

}  // namespace potluck::worker
