#include "wire/version.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/text.h"

namespace potluck::wire {
namespace {

std::string Describe(const Version& version) {
  std::string text = absl::StrCat(version.major, ".", version.minor);
  if (!version.build.empty()) absl::StrAppend(&text, " (", Printable(version.build, 60), ")");
  return text;
}

}  // namespace

Version OurVersion(std::string build) { return {kProtocolMajor, kProtocolMinor, std::move(build)}; }

absl::Status CheckVersion(const Version& ours, const Version& theirs, const std::string& here,
                          const std::string& there) {
  if (ours.major == theirs.major) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(here, " speaks protocol ", Describe(ours), " and ", there, " ", Describe(theirs),
                   ": update potluck on ", ours.major < theirs.major ? here : there));
}

}  // namespace potluck::wire
