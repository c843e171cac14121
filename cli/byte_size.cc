#include "cli/byte_size.h"

#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"

namespace potluck::cli {

absl::StatusOr<int64_t> ParseByteSize(const std::string& text) {
  constexpr std::pair<const char*, int> kUnits[] = {{"", 0},     {"B", 0},    {"KiB", 10},
                                                    {"MiB", 20}, {"GiB", 30}, {"TiB", 40}};
  const size_t end = text.find_first_not_of("0123456789.");
  std::string unit = end == std::string::npos ? "" : text.substr(end);
  unit.erase(0, unit.find_first_not_of(' '));
  char* rest = nullptr;
  const std::string digits = text.substr(0, end);
  const double number = std::strtod(digits.c_str(), &rest);
  for (const auto& [name, shift] : kUnits) {
    if (unit != name || digits.empty() || *rest != '\0') continue;
    const double bytes = number * static_cast<double>(int64_t{1} << shift);
    if (bytes < 0x1p62) return static_cast<int64_t>(bytes);
  }
  return absl::InvalidArgumentError(
      absl::StrCat(text, " is no size; write one as 20GiB or 500MiB"));
}

}  // namespace potluck::cli
