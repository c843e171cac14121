#include "worker/profile/energy_meter.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace potluck::worker {
namespace {

constexpr double kJoules = 1e-6;  // of a microjoule
constexpr double kMicrojoulesPerUwh = 3600;

// The first line of a file of sysfs.
std::optional<std::string> LineOf(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return line;
}

std::optional<int64_t> NumberOf(const std::string& path) {
  const std::optional<std::string> line = LineOf(path);
  int64_t number = 0;
  if (!line.has_value() || !absl::SimpleAtoi(*line, &number) || number < 0) return std::nullopt;
  return number;
}

// Names of a folder's entries, sorted; none where there is no such folder.
std::vector<std::string> EntriesOf(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored))
    names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

// In microjoules. Some tell charge and voltage.
std::optional<int64_t> EnergyIn(const std::string& battery) {
  if (const auto energy = NumberOf(battery + "/energy_now"))
    return static_cast<int64_t>(static_cast<double>(*energy) * kMicrojoulesPerUwh);
  const auto charge = NumberOf(battery + "/charge_now");
  const auto voltage = NumberOf(battery + "/voltage_now");
  if (!charge.has_value() || !voltage.has_value()) return std::nullopt;
  return static_cast<int64_t>(static_cast<double>(*charge) * 1e-6 * static_cast<double>(*voltage) *
                              kMicrojoulesPerUwh);
}

}  // namespace

std::vector<EnergyUsed> EnergyMeter::Read() {
  seen_.clear();
  const std::string zones = folder_ + "/powercap";
  for (const std::string& entry : EntriesOf(zones)) {
    // The whole of a processor; of its parts only the memory, which the whole leaves out.
    if (!absl::StartsWith(entry, "intel-rapl:") || std::ranges::count(entry, ':') != 1) continue;
    const std::string zone = absl::StrCat(zones, "/", entry);
    const auto name = LineOf(zone + "/name");
    if (!name.has_value() || !absl::StartsWith(*name, "package")) continue;
    ReadZone(zone, *name);
    for (const std::string& part : EntriesOf(zone)) {
      const std::string inner = absl::StrCat(zone, "/", part);
      if (absl::StartsWith(part, entry + ":") && LineOf(inner + "/name") == "dram")
        ReadZone(inner, *name + "-dram");
    }
  }
  const std::string supplies = folder_ + "/power_supply";
  for (const std::string& entry : EntriesOf(supplies)) {
    const std::string supply = absl::StrCat(supplies, "/", entry);
    // One of a mouse has another scope.
    if (LineOf(supply + "/type") == "Battery" && LineOf(supply + "/scope") != "Device")
      ReadBattery(supply, entry);
  }
  return seen_;
}

void EnergyMeter::ReadZone(const std::string& zone, const std::string& name) {
  const auto now = NumberOf(zone + "/energy_uj");
  if (!now.has_value()) return;
  const auto [found, is_new] = sources_.try_emplace(name, Source{.last = *now});
  Source& source = found->second;
  int64_t used = *now - source.last;
  if (used < 0) used += NumberOf(zone + "/max_energy_range_uj").value_or(-used);  // it has wrapped
  source.joules += static_cast<double>(std::max<int64_t>(used, 0)) * kJoules;
  source.last = *now;
  seen_.push_back({name, source.joules});
}

void EnergyMeter::ReadBattery(const std::string& battery, const std::string& name) {
  const auto now = EnergyIn(battery);
  if (!now.has_value()) return;
  const auto [found, is_new] = sources_.try_emplace(name, Source{.last = *now});
  Source& source = found->second;
  source.joules += static_cast<double>(std::max<int64_t>(source.last - *now, 0)) * kJoules;
  source.last = *now;
  seen_.push_back({name, source.joules});
}

}  // namespace potluck::worker
