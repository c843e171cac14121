#include "worker/profile/host.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <string_view>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/files.h"
#include "common/sha256.h"
#include "common/text.h"

namespace potluck::worker {
namespace {

constexpr uint64_t kMostIdBytes = 256;
constexpr size_t kDigits = 32;

}  // namespace

std::string HostIdentity(const IdentityFiles& files) {
  for (const std::string& path : {files.boot_id, files.machine_id}) {
    const auto text = ReadFile(path, kMostIdBytes);
    if (!text.ok()) continue;
    const std::string_view id = ToStd(absl::StripAsciiWhitespace(*text));
    if (id.empty()) continue;
    return Sha256(std::string("potluck host ").append(id)).ToHex().substr(0, kDigits);
  }
  return "";
}

int64_t PrivateBytes(const std::string& status_file) {
  constexpr int64_t kAll = std::numeric_limits<int64_t>::max(), kMostKiB = int64_t{1} << 50;
  constexpr uint64_t kMostStatusBytes = 64 << 10;
  const auto text = ReadFile(status_file, kMostStatusBytes);
  if (!text.ok()) return kAll;
  constexpr std::string_view kName = "\nRssAnon:";
  const size_t at = text->find(kName);
  if (at == text->npos) return kAll;
  const std::string_view rest = std::string_view(*text).substr(at + kName.size());
  absl::string_view number = ToAbsl(rest.substr(0, rest.find('\n')));
  number = absl::StripAsciiWhitespace(number);
  int64_t kib = 0;
  if (!absl::ConsumeSuffix(&number, " kB") || !absl::SimpleAtoi(number, &kib) || kib < 0 ||
      kib > kMostKiB)
    return kAll;
  return kib * 1024;
}

int64_t FreeDiskBytes(const std::string& folder) {
  std::error_code error;
  std::filesystem::path place = std::filesystem::absolute(folder, error);
  while (!error && !std::filesystem::exists(place, error) && place.has_relative_path())
    place = place.parent_path();
  const std::filesystem::space_info space = std::filesystem::space(place, error);
  if (error) return 0;
  constexpr auto kMost = static_cast<uintmax_t>(std::numeric_limits<int64_t>::max());
  return static_cast<int64_t>(std::min(space.available, kMost));
}

}  // namespace potluck::worker
