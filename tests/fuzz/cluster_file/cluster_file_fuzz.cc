// Any text as a file that describes a cluster (`potluck plan --cluster`): what passes is fit to
// plan with.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "cli/cluster_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto json = potluck::model::ParseBoundedJson(text);
  if (!json.ok() || !json->is_object()) return 0;
  const auto cluster = potluck::cli::ClusterFromJson(*json);
  if (cluster.ok() && !potluck::partition::Validate(*cluster).ok()) std::abort();
  return 0;
}
