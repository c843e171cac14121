#include "coordinator/api/http/response_format.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "coordinator/api/request_fields.h"
#include "model/grammar/grammar.h"
#include "model/grammar/json_grammar.h"

namespace potluck::coordinator {
namespace {

using model::FindKey;
using model::Json;
using nlohmann::ordered_json;

constexpr size_t kMaxSchemaBytes = size_t{64} << 10;

absl::StatusOr<std::string> FromSchema(const ordered_json& schema, const char* field) {
  absl::StatusOr<std::string> grammar = model::SchemaGrammar(schema);
  if (!grammar.ok()) return Annotate(grammar.status(), field);
  return grammar;
}

absl::StatusOr<std::string> FromResponseFormat(const Json& format, const ordered_json& ordered) {
  const std::string type = model::StringValue(FindKey(format, "type")).value_or("");
  if (type == "text") return "";
  if (type == "json_object") {
    if (FindKey(format, "schema") == nullptr) return model::AnyObjectGrammar();
    return FromSchema(ordered["schema"], "response_format");
  }
  const Json* named = FindKey(format, "json_schema");
  if (type != "json_schema" || named == nullptr || FindKey(*named, "schema") == nullptr)
    return BadField("response_format",
                    "an object whose type is text, json_object, or json_schema with a "
                    "json_schema.schema");
  return FromSchema(ordered["json_schema"]["schema"], "response_format");
}

}  // namespace

absl::Status ReadResponseFormat(std::string_view text, const Json& body, std::string& grammar) {
  POTLUCK_RETURN_IF_ERROR(ReadText(body, "grammar", grammar));
  for (const char* field : {"response_format", "json_schema"}) {
    const Json* json = FindKey(body, field);
    if (json == nullptr) continue;
    if (json->dump().size() > kMaxSchemaBytes)
      return BadField(field, absl::StrCat("at most ", kMaxSchemaBytes, " bytes"));
    const ordered_json ordered = model::OrderedMember(text, field);
    POTLUCK_ASSIGN_OR_RETURN(std::string its, std::string_view(field) == "json_schema"
                                                  ? FromSchema(ordered, field)
                                                  : FromResponseFormat(*json, ordered));
    if (its.empty()) continue;
    if (!grammar.empty())
      return BadField(field, "left out where another field says what the answer looks like");
    grammar = std::move(its);
  }
  return grammar.empty() ? absl::OkStatus() : model::ParseGbnf(grammar).status();
}

}  // namespace potluck::coordinator
