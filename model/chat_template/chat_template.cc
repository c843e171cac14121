#include "model/chat_template/chat_template.h"

#include <string_view>
#include <utility>

#include "common/check.h"
#include "common/status_macros.h"
#include "model/chat_template/evaluator.h"
#include "model/chat_template/parser.h"

namespace potluck::model {
namespace {

constexpr size_t kMaxSourceBytes = 1 << 20;

constexpr std::string_view kChatMl =
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

TextSpans ToSpans(const jinja::Text& text) {
  TextSpans spans;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = text.trust.find_first_not_of(text.trust[begin], begin);
    if (end == std::string::npos) end = text.size();
    spans.push_back({text.bytes.substr(begin, end - begin), text.trust[begin] != 0});
    begin = end;
  }
  return spans;
}

}  // namespace

ChatTemplate::ChatTemplate(std::string source, std::unique_ptr<const jinja::Program> program)
    : source_(std::move(source)), program_(std::move(program)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

absl::StatusOr<ChatTemplate> ChatTemplate::Parse(std::string source) {
  if (source.size() > kMaxSourceBytes) {
    return absl::InvalidArgumentError("chat template: longer than 1 MiB");
  }
  POTLUCK_ASSIGN_OR_RETURN(std::unique_ptr<jinja::Program> program, jinja::ParseTemplate(source));
  return ChatTemplate(std::move(source), std::move(program));
}

ChatTemplate ChatTemplate::ChatMl() {
  absl::StatusOr<ChatTemplate> chat_ml = Parse(std::string(kChatMl));
  POTLUCK_CHECK(chat_ml.ok());
  return *std::move(chat_ml);
}

bool ChatTemplate::Reads(const std::string& name) const { return program_->names.count(name) > 0; }

absl::StatusOr<TextSpans> ChatTemplate::Render(const ChatInput& input,
                                               const RenderLimits& limits) const {
  if (!input.messages.is_array()) {
    return absl::InvalidArgumentError("a conversation's messages must be an array");
  }
  if (!input.extra.is_object()) {
    return absl::InvalidArgumentError("a chat template's extra variables must be an object");
  }
  jinja::Arena arena(limits.work);
  jinja::Scope* globals = arena.NewScope(nullptr);
  for (const auto& [name, value] : input.extra.items()) globals->Set(name, arena.FromJson(value));
  globals->Set("messages", arena.FromJson(input.messages));
  globals->Set("tools", arena.FromJson(input.tools));
  globals->Set("add_generation_prompt", jinja::Value::Bool(input.add_generation_prompt));
  globals->Set("bos_token", arena.String(input.bos_token, true));
  globals->Set("eos_token", arena.String(input.eos_token, true));
  if (globals->Find("documents") == nullptr) globals->Set("documents", jinja::Value::None());
  POTLUCK_ASSIGN_OR_RETURN(const jinja::Text text,
                           jinja::Evaluator(*program_, arena, globals, input.now).Run());
  return ToSpans(text);
}

}  // namespace potluck::model
