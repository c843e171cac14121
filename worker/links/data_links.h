// The data links of a worker: to its coordinator, to neighbours that it dials, and from neighbours
// that dial it; one per pair and direction of dialling, shared by all instances. Lost ones that
// are wanted are dialled again, for ever, with back-off.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/executor.h"
#include "wire/link.h"
#include "wire/messages.h"
#include "worker/links/back_off.h"
#include "worker/retired.h"
#include "worker/stage/hosted_stage.h"

namespace potluck::worker {

// A link by who is at the other end, and whether this side has dialled it.
struct Route {
  wire::WorkerId peer;
  bool dialled = false;
  friend auto operator<=>(const Route&, const Route&) = default;
};

inline Route CoordinatorRoute() { return {wire::kCoordinator, true}; }
// Of a hop to the stage before (`upstream`) or after this one.
Route RouteOf(const wire::Hop& hop, bool upstream);

class DataLink;

class DataLinkEvents {
 public:
  virtual ~DataLinkEvents() = default;
  // An error closes the link with it.
  virtual absl::Status OnFrame(const Route& from, wire::StageFrame frame) = 0;
  // The answer to a Ping of ours.
  virtual void OnPong(const Route& from, const wire::Ping& pong) = 0;
  virtual void OnWritable(const Route& route) = 0;
  // OK where the peer has closed a link that it needs no more.
  virtual void OnLinkLost(const Route& route, const absl::Status& why) = 0;
};

// Single-threaded: lives on its worker's executor.
class DataLinks {
 public:
  static constexpr size_t kMostAccepted = 256;

  // `version`: this worker's. The others must outlive the object.
  DataLinks(wire::WorkerId self, wire::Version version, Executor& executor,
            wire::Transport& transport, uint64_t seed, DataLinkEvents& events);
  ~DataLinks();

  // Dials those that are not, and closes, with OK, those that are wanted no more.
  void SetWanted(const std::vector<wire::Peer>& peers);
  Sent Send(const Route& route, wire::Message message);
  wire::LinkHandler& Accept(std::unique_ptr<wire::Link> link);

 private:
  friend class DataLink;
  struct Dialled {
    wire::Peer peer;
    std::unique_ptr<DataLink> link;  // null: waiting for the timer
    absl::Duration since;            // when it was dialled
    BackOff back_off;
    std::unique_ptr<Timer> retry;  // ends with the entry, which stays where it is
  };

  void Dial(Dialled& dialled);
  // Of a link that has ended by itself: `link` may be in the midst of a call.
  void OnClosed(DataLink& link, const absl::Status& why);
  // The first message of an accepted link.
  absl::Status Introduce(DataLink& link, const wire::DataHello& hello);
  void Retire(std::unique_ptr<DataLink> link, const absl::Status& why);

  const wire::WorkerId self_;
  const wire::Version version_;
  Executor& executor_;
  wire::Transport& transport_;
  uint64_t seed_;
  DataLinkEvents& events_;
  std::map<wire::WorkerId, Dialled> dialled_;
  std::map<wire::WorkerId, std::unique_ptr<DataLink>> accepted_;
  std::vector<std::unique_ptr<DataLink>> strangers_;  // accepted, before their hello
  Retired retired_;
};

}  // namespace potluck::worker
