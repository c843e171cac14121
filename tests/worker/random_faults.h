// What a storm draws: numbers of one seed, and a network that delays and breaks by them.
#pragma once

#include <cstdint>
#include <random>

#include "wire/memory/memory_network.h"

namespace potluck::worker {

class Dice {
 public:
  explicit Dice(uint64_t seed) : random_(seed) {}
  int64_t Pick(int64_t from, int64_t to) {
    return std::uniform_int_distribution<int64_t>(from, to)(random_);
  }
  bool OneIn(int64_t n) { return Pick(1, n) == 1; }

 private:
  std::mt19937_64 random_;
};

class RandomFaults final : public wire::FaultModel {
 public:
  explicit RandomFaults(Dice& dice) : dice_(dice) {}
  wire::Passage OnDial(const wire::WorkerId&, const wire::WorkerId&, wire::LinkKind) override {
    return Draw(5);
  }
  wire::Passage OnMessage(const wire::WorkerId&, const wire::WorkerId&, wire::LinkKind,
                          const wire::Message&) override {
    return Draw(300);
  }
  bool calm = true;  // nothing breaks

 private:
  wire::Passage Draw(int64_t broken_one_in) {
    wire::Passage passage;
    passage.delay = absl::Milliseconds(1);
    if (calm) return passage;
    passage.delay = absl::Milliseconds(dice_.Pick(0, 30));
    if (dice_.OneIn(broken_one_in)) passage.broken = absl::UnavailableError("drawn");
    return passage;
  }
  Dice& dice_;
};

}  // namespace potluck::worker
