#include "coordinator/api/http/response_format.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "coordinator/api/request_fields.h"
#include "model/grammar/grammar.h"

namespace potluck::coordinator {
namespace {

using model::FindKey;
using model::Json;
using nlohmann::ordered_json;

constexpr size_t kMaxSchemaBytes = size_t{64} << 10;

// The schema of a response_format; null where any text will do.
absl::StatusOr<ordered_json> SchemaOf(const Json& format, const ordered_json& ordered) {
  const std::string type = model::StringValue(FindKey(format, "type")).value_or("");
  if (type == "text") return ordered_json();
  if (type == "json_object") {
    if (FindKey(format, "schema") == nullptr) return ordered_json{{"type", "object"}};
    return ordered["schema"];
  }
  const Json* named = FindKey(format, "json_schema");
  if (type != "json_schema" || named == nullptr || FindKey(*named, "schema") == nullptr)
    return BadField("response_format",
                    "an object whose type is text, json_object, or json_schema with a "
                    "json_schema.schema");
  return ordered["json_schema"]["schema"];
}

}  // namespace

absl::Status ReadResponseFormat(std::string_view text, const Json& body, AnswerRequest& asked) {
  std::string& grammar = asked.sampling.grammar;
  POTLUCK_RETURN_IF_ERROR(ReadText(body, "grammar", grammar));
  if (!grammar.empty() && asked.tools.may_call())
    return BadField("grammar", "left out where tools may be called");
  for (const char* field : {"response_format", "json_schema"}) {
    const Json* json = FindKey(body, field);
    if (json == nullptr) continue;
    if (json->dump(-1, ' ', false, Json::error_handler_t::replace).size() > kMaxSchemaBytes)
      return BadField(field, absl::StrCat("at most ", kMaxSchemaBytes, " bytes"));
    POTLUCK_RETURN_IF_ERROR(CheckMembers(*json, field));
    ordered_json schema = model::OrderedMember(text, field);
    if (std::string_view(field) == "response_format") {
      POTLUCK_ASSIGN_OR_RETURN(schema, SchemaOf(*json, schema));
    }
    if (schema.is_null()) continue;
    if (!grammar.empty() || !asked.schema.is_null())
      return BadField(field, "left out where another field says what the answer looks like");
    asked.schema = std::move(schema);
  }
  return grammar.empty() ? absl::OkStatus() : model::ParseGbnf(grammar).status();
}

}  // namespace potluck::coordinator
