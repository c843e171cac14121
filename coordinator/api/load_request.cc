#include "coordinator/api/load_request.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "common/status_macros.h"
#include "coordinator/api/json_text.h"
#include "coordinator/api/request_fields.h"
#include "model/bounded_json.h"
#include "model/kv/kv_types.h"

namespace potluck::coordinator {
namespace {

constexpr size_t kMostAliases = 16;

}  // namespace

absl::StatusOr<LoadRequest> ParseLoadRequest(std::string_view text) {
  POTLUCK_ASSIGN_OR_RETURN(const model::Json body, model::ParseBoundedJson(text));
  if (!body.is_object()) return absl::InvalidArgumentError("the body must be a JSON object");
  LoadRequest request;
  POTLUCK_RETURN_IF_ERROR(ReadText(body, "model", request.model));
  if (request.model.empty())
    return absl::InvalidArgumentError("model must be a path, or a name in the models folder");
  POTLUCK_RETURN_IF_ERROR(ReadInt(body, "ctx", 0, 1 << 30, request.context_length));
  POTLUCK_RETURN_IF_ERROR(ReadInt(body, "parallel", 1, 256, request.parallel));
  POTLUCK_RETURN_IF_ERROR(ReadInt(body, "copies", 1, 16, request.copies));
  POTLUCK_RETURN_IF_ERROR(ReadText(body, "layers", request.layers));
  std::string kv_type = "f16";
  POTLUCK_RETURN_IF_ERROR(ReadText(body, "kv_type", kv_type));
  const std::optional<kernels::DType> kv_dtype = model::KvTypeNamed(kv_type);
  if (!kv_dtype) return absl::InvalidArgumentError("kv_type must be f16, f32 or q8");
  request.kv_dtype = *kv_dtype;
  POTLUCK_RETURN_IF_ERROR(ReadBool(body, "spread", request.spread));
  POTLUCK_RETURN_IF_ERROR(ReadTexts(body, "alias", kMostAliases, request.aliases));
  if (std::ranges::find(request.aliases, "") != request.aliases.end())
    return BadField("alias", "one name or several, none of them empty");
  return request;
}

std::string ToJson(const LoadRequest& request) {
  nlohmann::ordered_json json = {{"model", request.model},       {"ctx", request.context_length},
                                 {"parallel", request.parallel}, {"spread", request.spread},
                                 {"layers", request.layers},     {"copies", request.copies},
                                 {"alias", request.aliases}};
  for (const auto& [name, dtype] : model::kKvTypes) {
    if (dtype == request.kv_dtype) json["kv_type"] = name;
  }
  return Dump(json);
}

}  // namespace potluck::coordinator
