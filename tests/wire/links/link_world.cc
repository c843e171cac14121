#include "tests/wire/links/link_world.h"

namespace potluck::wire {

void Happenings::Note() {
  MutexLock lock(mutex_);
  ++count_;
  changed_.NotifyAll();
}

bool Happenings::WaitUntil(ThreadExecutor& executor, const std::function<bool()>& done) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  for (;;) {
    int64_t seen;
    {
      MutexLock lock(mutex_);
      seen = count_;
    }
    bool holds = false;
    executor.RunAndWait([&] { holds = done(); });
    if (holds) return true;
    MutexLock lock(mutex_);
    while (count_ == seen) {
      if (!changed_.WaitUntil(mutex_, until) && count_ == seen) return false;
    }
  }
}

void Recorder::OnMessage(Message message) {
  if (const auto* ping = std::get_if<Ping>(&message)) {
    numbers.push_back(ping->number);
  } else {
    others.push_back(std::move(message));
  }
  happenings.Note();
  if (on_message) on_message();
}

void Recorder::OnWritable() {
  ++writable;
  happenings.Note();
}

void Recorder::OnClosed(absl::Status why) {
  closed = std::move(why);
  ++num_closed;
  happenings.Note();
}

LinkHandler& Acceptor::OnLink(LinkKind kind, std::unique_ptr<Link> link) {
  PeerIdentity peer = link->peer();
  if (!refusal.ok()) link->Close(refusal);
  taken.push_back({kind, std::move(peer), std::move(link), std::make_unique<Recorder>(happenings)});
  happenings.Note();
  return *taken.back().handler;
}

}  // namespace potluck::wire
