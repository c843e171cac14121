#include "worker/profile/speed_file.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "model/bounded_json.h"
#include "partition/profiles.h"

namespace potluck::worker {
namespace {

using model::FindKey;
using model::Json;

constexpr uint64_t kMostFileBytes = 64 << 10;

absl::Status Wrong(const std::string& path, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", what));
}

// What the planner would refuse is not worth keeping.
bool IsRate(std::optional<double> rate) {
  return rate && *rate >= partition::kLeastPerSecond && *rate <= partition::kMostPerSecond;
}

std::optional<wire::DeviceProfile::Rate> ReadRate(const Json& json) {
  const auto format =
      kernels::WeightDTypeNamed(model::StringValue(FindKey(json, "format")).value_or(""));
  const auto decode = model::NumberValue(FindKey(json, "decode_bytes_per_second"));
  const auto prefill = model::NumberValue(FindKey(json, "prefill_operations_per_second"));
  if (!format || !IsRate(decode) || !IsRate(prefill)) return std::nullopt;
  return wire::DeviceProfile::Rate{*format, *decode, *prefill};
}

}  // namespace

absl::StatusOr<KernelSpeeds> ReadSpeeds(const std::string& path, const SpeedKey& key) {
  POTLUCK_ASSIGN_OR_RETURN(const Json json, model::ReadJsonObject(path, kMostFileBytes));
  const auto text = [&](const char* name) {
    return model::StringValue(FindKey(json, name)).value_or("");
  };
  if (SpeedKey{text("device"), text("hardware"), text("target"), text("version")} != key)
    return absl::NotFoundError(absl::StrCat(path, " is of another device, driver or version"));
  KernelSpeeds speeds;
  for (const auto& [name, seconds] :
       {std::pair("step_overhead_seconds", &speeds.step_overhead_seconds),
        std::pair("layer_overhead_seconds", &speeds.layer_overhead_seconds)}) {
    const auto overhead = model::NumberValue(FindKey(json, name));
    if (!overhead || !(*overhead >= 0 && *overhead <= partition::kLongestSeconds))
      return Wrong(path, absl::StrCat("its ", name, " are none"));
    *seconds = *overhead;
  }
  const auto load = model::NumberValue(FindKey(json, "load"));
  if (!load || !(*load >= 0 && *load <= 1)) return Wrong(path, "its load is none");
  speeds.load = *load;
  const Json* rates = FindKey(json, "rates");
  if (rates == nullptr || !rates->is_array() || rates->empty())
    return Wrong(path, "it has no rates");
  std::set<kernels::DType> seen;
  for (const Json& item : *rates) {
    const auto rate = ReadRate(item);
    if (!rate || !seen.insert(rate->dtype).second)
      return Wrong(path, "one of its rates is none, or there twice");
    speeds.rates.push_back(*rate);
  }
  return speeds;
}

absl::Status WriteSpeeds(const std::string& path, const SpeedKey& key, const KernelSpeeds& speeds) {
  Json rates = Json::array();
  for (const wire::DeviceProfile::Rate& rate : speeds.rates) {
    rates.push_back({{"format", kernels::Traits(rate.dtype).name},
                     {"decode_bytes_per_second", rate.decode_bytes_per_second},
                     {"prefill_operations_per_second", rate.prefill_operations_per_second}});
  }
  const Json json = {{"device", key.device},
                     {"hardware", key.hardware},
                     {"target", key.target},
                     {"version", key.version},
                     {"step_overhead_seconds", speeds.step_overhead_seconds},
                     {"layer_overhead_seconds", speeds.layer_overhead_seconds},
                     {"load", speeds.load},
                     {"rates", std::move(rates)}};
  return WriteFileAtomically(path, json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace potluck::worker
