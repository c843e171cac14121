// The energy that this machine says it has used: of its processors and memory (RAPL, by Linux'
// powercap), and out of its battery. Machines that do not say are the most: there is nothing then.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace potluck::worker {

struct EnergyUsed {
  std::string source;  // "package-0", "package-0-dram", "BAT0"
  double joules = 0;   // since the meter's first reading
};

// Thread-compatible. To be read more often than a processor's counter wraps, which takes a quarter
// of an hour at the least.
class EnergyMeter {
 public:
  // "/sys/class": where powercap/intel-rapl:* and power_supply/* are. Since Linux 5.10 root alone
  // may read the former.
  explicit EnergyMeter(std::string folder) : folder_(std::move(folder)) {}

  // Sources that can be read now, by name. A battery counts while it discharges, and what flows
  // into it does not.
  std::vector<EnergyUsed> Read();

 private:
  struct Source {
    int64_t last = 0;  // microjoules in the counter, or in the battery
    double joules = 0;
  };

  void ReadZone(const std::string& zone, const std::string& name);
  void ReadBattery(const std::string& battery, const std::string& name);

  const std::string folder_;
  std::map<std::string, Source> sources_;
  std::vector<EnergyUsed> seen_;  // in this reading
};

}  // namespace potluck::worker
