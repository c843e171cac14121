#include "worker/profile/energy_meter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

namespace potluck::worker {
namespace {

using ::testing::AllOf;
using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::IsEmpty;

auto Used(const std::string& source, double joules) {
  return AllOf(Field(&EnergyUsed::source, source),
               Field(&EnergyUsed::joules, DoubleNear(joules, 1e-6)));
}

// A tree as Linux' /sys/class has it.
class EnergyMeterTest : public ::testing::Test {
 protected:
  EnergyMeterTest() : folder_(::testing::TempDir() + "potluck-energy") {
    std::filesystem::remove_all(folder_);
  }
  ~EnergyMeterTest() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = folder_ + "/" + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text << "\n";
  }
  void Write(const std::string& path, int64_t number) { Write(path, std::to_string(number)); }

  void WriteZone(const std::string& zone, const std::string& name, int64_t microjoules) {
    Write(zone + "/name", name);
    Write(zone + "/energy_uj", microjoules);
    Write(zone + "/max_energy_range_uj", int64_t{1'000'000'000});
  }

  const std::string folder_;
};

TEST_F(EnergyMeterTest, MostMachinesDoNotSay) {
  EXPECT_THAT(EnergyMeter(folder_).Read(), IsEmpty());
  Write("power_supply/AC/type", "Mains");
  Write("power_supply/mouse/type", "Battery");
  Write("power_supply/mouse/scope", "Device");
  Write("power_supply/mouse/energy_now", 1000);
  Write("powercap/intel-rapl/enabled", "1");
  Write("powercap/intel-rapl:1/name", "psys");
  Write("powercap/intel-rapl:1/energy_uj", 5);
  Write("powercap/intel-rapl:0/name", "package-0");
  Write("powercap/intel-rapl:0/energy_uj", "who knows");
  EXPECT_THAT(EnergyMeter(folder_).Read(), IsEmpty());
}

TEST_F(EnergyMeterTest, AProcessorAndItsMemory) {
  WriteZone("powercap/intel-rapl:0", "package-0", 990'000'000);
  WriteZone("powercap/intel-rapl:0/intel-rapl:0:0", "core", 1'000'000);
  WriteZone("powercap/intel-rapl:0/intel-rapl:0:1", "dram", 2'000'000);
  EnergyMeter meter(folder_);
  EXPECT_THAT(meter.Read(), ElementsAre(Used("package-0", 0), Used("package-0-dram", 0)));
  Write("powercap/intel-rapl:0/energy_uj", 995'000'000);
  Write("powercap/intel-rapl:0/intel-rapl:0:1/energy_uj", 2'500'000);
  EXPECT_THAT(meter.Read(), ElementsAre(Used("package-0", 5), Used("package-0-dram", 0.5)));
  Write("powercap/intel-rapl:0/energy_uj", 3'000'000);  // it has wrapped
  EXPECT_THAT(meter.Read(), ElementsAre(Used("package-0", 13), Used("package-0-dram", 0.5)));
  std::filesystem::remove(folder_ + "/powercap/intel-rapl:0/max_energy_range_uj");
  Write("powercap/intel-rapl:0/energy_uj", 1'000'000);  // by how much cannot be told
  EXPECT_THAT(meter.Read(), ElementsAre(Used("package-0", 13), Used("package-0-dram", 0.5)));
}

TEST_F(EnergyMeterTest, ABatteryThatDischarges) {
  Write("power_supply/BAT0/type", "Battery");
  Write("power_supply/BAT0/energy_now", 50'000'000);  // microwatt hours
  EnergyMeter meter(folder_);
  EXPECT_THAT(meter.Read(), ElementsAre(Used("BAT0", 0)));
  Write("power_supply/BAT0/energy_now", 49'000'000);
  EXPECT_THAT(meter.Read(), ElementsAre(Used("BAT0", 3600)));
  Write("power_supply/BAT0/energy_now", 51'000'000);  // it is charged
  EXPECT_THAT(meter.Read(), ElementsAre(Used("BAT0", 3600)));
  Write("power_supply/BAT0/energy_now", 50'500'000);
  EXPECT_THAT(meter.Read(), ElementsAre(Used("BAT0", 5400)));
}

TEST_F(EnergyMeterTest, ABatteryThatTellsItsCharge) {
  Write("power_supply/BAT1/type", "Battery");
  Write("power_supply/BAT1/charge_now", 4'000'000);    // microampere hours
  Write("power_supply/BAT1/voltage_now", 12'000'000);  // microvolts
  EnergyMeter meter(folder_);
  EXPECT_THAT(meter.Read(), ElementsAre(Used("BAT1", 0)));
  Write("power_supply/BAT1/charge_now", 3'500'000);
  EXPECT_THAT(meter.Read(), ElementsAre(Used("BAT1", 0.5 * 12 * 3600)));
}

}  // namespace
}  // namespace potluck::worker
