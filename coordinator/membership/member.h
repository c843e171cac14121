// What the coordinator knows of one worker.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "coordinator/membership/patience.h"
#include "wire/messages.h"

namespace potluck::coordinator {

enum class MemberState : uint8_t {
  kJoining,  // its links are still being measured
  kReady,
  kSuspect,  // not heard from for a while: no new plans with it
  kPaused,   // its owner has the machine
  kLeaving,  // its layers move away
  kResting,  // was lost too often
  kLost,     // not heard from; may come back
  kLeft,     // went in good order; may come back
};
std::string_view ToString(MemberState state);  // "joining", "ready", ...

// What is remembered of a worker from one life of the coordinator to the next.
struct KnownWorker {
  wire::WorkerId worker;
  std::string name;
  bool drained = false, paused = false;  // a person's wishes
  bool left = false;
  absl::Duration silent_for;  // since it was last heard of

  bool operator==(const KnownWorker&) const = default;
};

struct LinkQuality {
  bool reachable = true;
  double round_trip_seconds = 0;
  double bytes_per_second = 0;
};

struct Member {
  wire::WorkerHello hello;
  wire::Heartbeat heartbeat;  // the last
  absl::Duration heard_at;    // the last time
  Patience patience;

  bool has_control = false, has_data = false;
  bool measured = false;
  bool suspect = false;
  bool paused = false;          // a person's wish
  bool owner_paused = false;    // as the worker itself says
  bool wants_to_leave = false;  // the worker itself
  bool drained = false;         // a person's wish
  bool left = false;
  std::vector<absl::Duration> losses;  // the latest ones
  absl::Duration rests_until;
  std::map<wire::WorkerId, LinkQuality> links;  // as measured from here

  // Its stages may be talked to.
  bool connected() const { return has_control && has_data; }
  MemberState state(absl::Duration now) const;
  // Not to be used for a while, be it here or not.
  bool set_aside(absl::Duration now) const;
  // Whether it reaches the other, as far as is known.
  bool Dials(const Member& other) const;
};

inline MemberState Member::state(absl::Duration now) const {
  if (!connected()) return left ? MemberState::kLeft : MemberState::kLost;
  if (now < rests_until) return MemberState::kResting;
  if (wants_to_leave || drained) return MemberState::kLeaving;
  if (paused || owner_paused) return MemberState::kPaused;
  if (suspect) return MemberState::kSuspect;
  return measured ? MemberState::kReady : MemberState::kJoining;
}

inline bool Member::set_aside(absl::Duration now) const {
  return drained || paused || now < rests_until ||
         (connected() && (owner_paused || wants_to_leave));
}

inline bool Member::Dials(const Member& other) const {
  if (other.hello.addresses.empty()) return false;
  const auto link = links.find(other.hello.worker);
  return link == links.end() || link->second.reachable;
}

inline std::string_view ToString(MemberState state) {
  switch (state) {
    case MemberState::kJoining:
      return "joining";
    case MemberState::kReady:
      return "ready";
    case MemberState::kSuspect:
      return "suspect";
    case MemberState::kPaused:
      return "paused";
    case MemberState::kLeaving:
      return "leaving";
    case MemberState::kResting:
      return "resting";
    case MemberState::kLost:
      return "lost";
    case MemberState::kLeft:
      return "left";
  }
  return "unknown";
}

}  // namespace potluck::coordinator
