// Any text as a file of flags (--config): it is taken or refused, and what --print-config prints of
// what was taken is taken again, and says the same.
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "cli/config_file.h"

namespace {

// Options of every kind that commands have.
class Flags {
 public:
  Flags() {
    app_.add_option("MODEL", models_);
    app_.add_option("--name", name_)->capture_default_str();
    app_.add_option("-t,--threads", threads_)->check(CLI::Range(1, 1024));
    app_.add_option("--wait-for-workers", seconds_)
        ->transform(CLI::AsNumberWithUnit(std::map<std::string, double>{{"s", 1}, {"m", 60}}));
    app_.add_option("--http", addresses_)->delimiter(',');
    app_.add_option("--temp", temperature_);
    app_.add_flag("--lan", lan_);
    potluck::cli::AddConfigFlags(app_);
    app_.parse(std::vector<std::string>{});
  }

  bool Apply(const std::string& text) {
    return potluck::cli::ApplyConfigText(app_, "the file", text).ok();
  }
  std::string Print() const { return potluck::cli::ConfigText(app_); }

 private:
  CLI::App app_{"", "potluck"};
  std::vector<std::string> models_, addresses_;
  std::string name_ = "attic";
  int threads_ = 4;
  double seconds_ = 60, temperature_ = 0;
  bool lan_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Flags flags;
  if (!flags.Apply(std::string(reinterpret_cast<const char*>(data), size))) return 0;
  const std::string printed = flags.Print();
  Flags again;
  if (!again.Apply(printed) || again.Print() != printed) std::abort();
  return 0;
}
