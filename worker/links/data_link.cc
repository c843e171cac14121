#include "worker/links/data_link.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace potluck::worker {
namespace {

const absl::Duration kHelloTime = absl::Seconds(10);

}  // namespace

DataLink::DataLink(DataLinks& owner, std::unique_ptr<wire::Link> link)
    : owner_(owner), link_(std::move(link)), hello_timer_(owner.executor_) {
  hello_timer_.Start(kHelloTime, [this] {
    const absl::Status late = absl::DeadlineExceededError("no hello came on a data link");
    Close(late);
    owner_.OnClosed(*this, late);
  });
}

DataLink::DataLink(DataLinks& owner, const wire::Peer& peer)
    : owner_(owner), route_{peer.worker, true}, hello_timer_(owner.executor_) {
  link_ = owner_.transport_.Dial(peer.worker, peer.addresses, wire::LinkKind::kData, *this);
  Send(wire::DataHello{.version = owner_.version_, .from = owner_.self_, .to = peer.worker});
}

void DataLink::Close(const absl::Status& why) {
  if (std::exchange(closed_, true)) return;
  hello_timer_.Cancel();
  link_->Close(why);
}

void DataLink::OnMessage(wire::Message message) {
  const absl::Status status = Handle(std::move(message));
  if (status.ok() || closed_) return;
  Close(status);
  owner_.OnClosed(*this, status);
}

absl::Status DataLink::Handle(wire::Message message) {
  if (!introduced()) {
    const auto* hello = std::get_if<wire::DataHello>(&message);
    if (hello == nullptr) return absl::InvalidArgumentError("a data link begins with a DataHello");
    return owner_.Introduce(*this, *hello);
  }
  if (auto* frame = std::get_if<wire::StageFrame>(&message))
    return owner_.events_.OnFrame(route_, std::move(*frame));
  if (auto* ping = std::get_if<wire::Ping>(&message)) {
    AnswerPing(std::move(*ping));
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("message ", message.index(), " does not belong on a data link to a worker"));
}

void DataLink::AnswerPing(wire::Ping ping) {
  if (!ping.echo) {
    owner_.events_.OnPong(route_, ping);
  } else if (writable_) {  // whoever sends faster than it reads gets no answer
    ping.echo = false;
    Send(std::move(ping));
  }
}

void DataLink::OnWritable() {
  writable_ = true;
  if (introduced()) owner_.events_.OnWritable(route_);
}

void DataLink::OnClosed(absl::Status why) {
  closed_ = true;
  hello_timer_.Cancel();
  owner_.OnClosed(*this, why);
}

}  // namespace potluck::worker
