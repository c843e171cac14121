#include "wire/grpc/live_calls.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "wire/grpc/stream.h"

namespace potluck::wire {

bool LiveCalls::Add(const std::shared_ptr<Stream>& stream) {
  MutexLock lock(mutex_);
  if (ending_ || streams_.size() >= kMost || streams_.count(stream->worker()) >= kMostOfOnePeer)
    return false;
  streams_.emplace(stream->worker(), stream);
  return true;
}

void LiveCalls::Remove(const std::shared_ptr<Stream>& stream) {
  MutexLock lock(mutex_);
  const auto [first, last] = streams_.equal_range(stream->worker());
  const auto found =
      std::find_if(first, last, [&](const auto& entry) { return entry.second == stream; });
  if (found != last) streams_.erase(found);
  changed_.NotifyAll();
}

void LiveCalls::Retire(std::shared_ptr<void> leavings) {
  MutexLock lock(mutex_);
  retired_.push_back(std::move(leavings));
}

void LiveCalls::FreeRetired() {
  std::vector<std::shared_ptr<void>> retired;
  MutexLock lock(mutex_);
  retired.swap(retired_);
}

std::vector<std::shared_ptr<Stream>> LiveCalls::AllStreams() {
  std::vector<std::shared_ptr<Stream>> streams;
  for (const auto& [peer, stream] : streams_) streams.push_back(stream);
  return streams;
}

bool LiveCalls::AnyClosing() {
  return std::any_of(streams_.begin(), streams_.end(),
                     [](const auto& entry) { return entry.second->closing(); });
}

void LiveCalls::EndAll(std::chrono::steady_clock::time_point until) {
  std::vector<std::shared_ptr<Stream>> streams;
  {
    MutexLock lock(mutex_);
    ending_ = true;
    streams = AllStreams();
  }
  for (const auto& stream : streams) {
    if (!stream->closing()) stream->Abort();
  }
  {
    MutexLock lock(mutex_);
    while (AnyClosing() && changed_.WaitUntil(mutex_, until)) {
    }
    streams = AllStreams();
  }
  for (const auto& stream : streams) stream->Abort();
  streams.clear();
  {
    MutexLock lock(mutex_);
    while (!streams_.empty()) changed_.Wait(mutex_);
  }
  FreeRetired();
}

}  // namespace potluck::wire
