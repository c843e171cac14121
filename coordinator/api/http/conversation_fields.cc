#include "coordinator/api/http/conversation_fields.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "coordinator/api/request_fields.h"

namespace potluck::coordinator {
namespace {

using model::FindKey;
using model::Json;
using nlohmann::ordered_json;

// Of a message, that templates may know beside its role and its content.
constexpr const char* kMessageFields[] = {"name", "reasoning_content", "tool_call_id"};

// Strings as they are; of parts the texts, a line each.
absl::StatusOr<ordered_json> ReadContent(const Json& message) {
  const Json* content = FindKey(message, "content");
  if (content == nullptr) return ordered_json(nullptr);
  if (auto text = model::StringValue(content)) return ordered_json(*std::move(text));
  const absl::Status bad =
      BadField("content",
               "a string, null, or an array of parts of type \"text\": models here read "
               "nothing else");
  if (!content->is_array()) return bad;
  std::vector<std::string> texts;
  for (const Json& part : *content) {
    auto text = model::StringValue(FindKey(part, "text"));
    if (model::StringValue(FindKey(part, "type")).value_or("text") != "text" || !text.has_value())
      return bad;
    texts.push_back(*std::move(text));
  }
  return ordered_json(absl::StrJoin(texts, "\n"));
}

// {"id", "type": "function", "function": {"name", "arguments"}}, in this order, for templates print
// them so. Arguments come as the text of an object; templates want the object.
absl::StatusOr<ordered_json> ReadToolCalls(const Json& calls) {
  const absl::Status bad =
      BadField("tool_calls", "an array of objects, each with a function that has a name");
  if (!calls.is_array()) return bad;
  ordered_json read = ordered_json::array();
  for (const Json& call : calls) {
    const Json* function = FindKey(call, "function");
    const Json* name = function == nullptr ? nullptr : FindKey(*function, "name");
    if (name == nullptr || !name->is_string()) return bad;
    ordered_json arguments = ordered_json::object();
    if (const Json* given = FindKey(*function, "arguments")) {
      arguments = *given;
      const auto text = model::StringValue(given);
      if (text.has_value()) {
        const auto object = model::ParseJsonObject(*text, "arguments");
        if (object.ok() && CheckMembers(*object, "arguments").ok())
          arguments = ordered_json::parse(*text);
      } else {
        POTLUCK_RETURN_IF_ERROR(CheckMembers(*given, "arguments"));
      }
    }
    ordered_json& one = read.emplace_back(ordered_json::object());
    if (const Json* id = FindKey(call, "id")) one["id"] = *id;
    one["type"] = "function";
    one["function"] = {{"name", *name}, {"arguments", std::move(arguments)}};
  }
  return read;
}

absl::Status ReadMessages(const Json& body, Conversation& conversation) {
  const Json* json = FindKey(body, "messages");
  const absl::Status bad =
      BadField("messages", "an array of objects, each with a role and a content");
  if (json == nullptr || !json->is_array() || json->empty()) return bad;
  POTLUCK_RETURN_IF_ERROR(CheckMembers(*json, "messages"));
  for (const Json& entry : *json) {
    auto role = model::StringValue(FindKey(entry, "role"));
    if (!role.has_value()) return bad;
    // What newer clients call it; templates know the former name.
    if (*role == "developer") role = "system";
    POTLUCK_ASSIGN_OR_RETURN(ordered_json content, ReadContent(entry));
    if (content.is_null() && *role != "assistant") return bad;
    ordered_json message = {{"role", *std::move(role)}, {"content", std::move(content)}};
    if (const Json* calls = FindKey(entry, "tool_calls"); calls != nullptr && !calls->empty()) {
      POTLUCK_ASSIGN_OR_RETURN(message["tool_calls"], ReadToolCalls(*calls));
    }
    for (const char* field : kMessageFields) {
      if (const Json* value = FindKey(entry, field)) message[field] = *value;
    }
    conversation.messages.push_back(std::move(message));
  }
  return absl::OkStatus();
}

absl::Status ReadTemplateFields(const Json& body, Conversation& conversation) {
  std::string effort;
  POTLUCK_RETURN_IF_ERROR(ReadText(body, "reasoning_effort", effort));
  if (!effort.empty()) conversation.extra["reasoning_effort"] = effort;
  const Json* extra = FindKey(body, "chat_template_kwargs");
  if (extra == nullptr) return absl::OkStatus();
  if (!extra->is_object()) return BadField("chat_template_kwargs", "an object");
  POTLUCK_RETURN_IF_ERROR(CheckMembers(*extra, "chat_template_kwargs"));
  for (const auto& [name, value] : extra->items()) conversation.extra[name] = value;
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadConversation(const Json& body, Conversation& conversation) {
  POTLUCK_RETURN_IF_ERROR(ReadMessages(body, conversation));
  return ReadTemplateFields(body, conversation);
}

std::optional<std::vector<model::TokenId>> TokenIds(const Json& json) {
  if (!json.is_array()) return std::nullopt;
  std::vector<model::TokenId> ids;
  ids.reserve(json.size());
  for (const Json& entry : json) {
    const auto id = model::IntValue(&entry);
    if (!id.has_value() || *id < 0 || *id > std::numeric_limits<model::TokenId>::max())
      return std::nullopt;
    ids.push_back(static_cast<model::TokenId>(*id));
  }
  return ids;
}

absl::Status ReadPrompts(const Json& body, const char* field, size_t most,
                         std::vector<Prompt>& prompts) {
  const Json* json = FindKey(body, field);
  const absl::Status bad = BadField(
      field,
      absl::StrCat("a string, an array of token ids, or an array of at most ", most, " of them"));
  if (json == nullptr) return bad;
  const auto add = [&prompts](const Json& one) {
    if (auto text = model::StringValue(&one)) {
      prompts.emplace_back(*std::move(text));
      return true;
    }
    auto ids = TokenIds(one);
    if (ids.has_value()) prompts.emplace_back(*std::move(ids));
    return ids.has_value();
  };
  if (add(*json)) return absl::OkStatus();
  if (!json->is_array() || json->size() > most) return bad;
  return std::ranges::all_of(*json, add) ? absl::OkStatus() : bad;
}

}  // namespace potluck::coordinator
