#include "partition/amounts.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace potluck::partition {

std::string Bytes(int64_t bytes) {
  const double mib = static_cast<double>(bytes) / (1 << 20);
  if (mib < 10) return absl::StrFormat("%.1f MiB", mib);
  return mib < 1024 ? absl::StrFormat("%.0f MiB", mib) : absl::StrFormat("%.1f GiB", mib / 1024);
}

std::string Digits(double value) {
  if (value >= 100) return absl::StrFormat("%.0f", value);
  return value >= 10 ? absl::StrFormat("%.1f", value) : absl::StrFormat("%.2f", value);
}

std::string Seconds(double seconds) {
  return seconds < 1 ? absl::StrCat(Digits(seconds * 1e3), " ms")
                     : absl::StrCat(Digits(seconds), " s");
}

std::string Layers(int64_t first, int64_t last) {
  return first == last ? absl::StrCat("layer ", first) : absl::StrCat("layers ", first, "-", last);
}

}  // namespace potluck::partition
