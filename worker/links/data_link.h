// One data link: DataHello first, then frames and pings. Of data_links.h's own.
#pragma once

#include <memory>

#include "common/executor.h"
#include "wire/link.h"
#include "wire/messages.h"
#include "worker/links/data_links.h"

namespace potluck::worker {

class DataLink final : public wire::LinkHandler {
 public:
  // Accepted: who is at the other end comes with its hello, which it owes within kHelloTime.
  DataLink(DataLinks& owner, std::unique_ptr<wire::Link> link);
  // Dialled.
  DataLink(DataLinks& owner, const wire::Peer& peer);

  const Route& route() const { return route_; }
  const wire::PeerIdentity& identity() const { return link_->peer(); }
  void set_peer(const wire::WorkerId& peer) {
    route_.peer = peer;
    hello_timer_.Cancel();
  }
  bool introduced() const { return route_.dialled || !route_.peer.empty(); }

  bool Send(wire::Message message) {
    writable_ = link_->Send(std::move(message));
    return writable_;
  }
  // No handler of ours is called after.
  void Close(const absl::Status& why);

  void OnMessage(wire::Message message) override;
  void OnWritable() override;
  void OnClosed(absl::Status why) override;

 private:
  absl::Status Handle(wire::Message message);
  void AnswerPing(wire::Ping ping);

  DataLinks& owner_;
  Route route_;
  std::unique_ptr<wire::Link> link_;
  Timer hello_timer_;
  bool writable_ = true;
  bool closed_ = false;
};

}  // namespace potluck::worker
