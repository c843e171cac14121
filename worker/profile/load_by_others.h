// How busy a machine is with other things than this process: what a heartbeat says, and what makes
// its devices slower than they were measured.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace potluck::worker {

// Time of all CPUs together since the machine started, and of this process, in clock ticks.
struct CpuTimes {
  int64_t all = 0, idle = 0, own = 0;
};

// From the texts of /proc/stat and /proc/self/stat (proc(5)); nothing where they are not such.
std::optional<CpuTimes> ParseCpuTimes(std::string_view stat, std::string_view self_stat);

// Shares of the time of all CPUs, each 0 to 1.
struct CpuLoad {
  double others = 0, own = 0;
};
// Between two readings; 0 where no time has passed.
CpuLoad LoadBetween(const CpuTimes& before, const CpuTimes& after);

// Since the last call; 0 at the first, and where /proc is not there. Single-threaded.
class LoadMeter {
 public:
  CpuLoad Read();

 private:
  std::optional<CpuTimes> last_;
};

}  // namespace potluck::worker
