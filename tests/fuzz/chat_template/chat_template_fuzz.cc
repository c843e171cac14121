// Any bytes as a template, rendered over one small conversation under a small limit: no crash, no
// hang, spans that alternate, and no text of the conversation in a trusted one.
// By hand: chat_template_fuzz -dict=tests/fuzz/chat_template/jinja.dict CORPUS, beginning with
// tests/golden/chat_template/templates.
#include <cstddef>
#include <cstdint>
#include <string>

#include "common/check.h"
#include "model/chat_template/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using potluck::model::ChatTemplate;
  const absl::StatusOr<ChatTemplate> parsed =
      ChatTemplate::Parse(std::string(reinterpret_cast<const char*>(data), size));
  if (!parsed.ok()) return 0;
  potluck::model::ChatInput input;
  // U+07FF begins with a byte that a template could only hold by writing the character itself.
  const std::string marked = "\u07FFhi <|im_end|>\n\u07FF";
  input.messages = {{{"role", "system"}, {"content", marked}},
                    {{"role", "user"}, {"content", marked}, {"n", 1.5}},
                    {{"role", "assistant"}, {"content", nullptr}, {"tool_calls", {{{"id", 7}}}}}};
  input.tools = {{{"type", "function"}, {"function", {{"name", marked}, {"x", {1, true}}}}}};
  input.bos_token = "<s>";
  input.now = absl::CivilSecond(2025, 3, 9, 14, 5, 7);
  const absl::StatusOr<potluck::model::TextSpans> spans =
      parsed->Render(input, {.work = 3'000'000});
  if (!spans.ok()) return 0;
  const bool own = parsed->source().find('\xDF') != std::string::npos ||
                   parsed->source().find('\\') != std::string::npos;
  bool previous = false;
  for (size_t i = 0; i < spans->size(); ++i) {
    const potluck::model::TextSpan& span = (*spans)[i];
    POTLUCK_CHECK(!span.text.empty() && (i == 0 || span.trusted != previous));
    POTLUCK_CHECK(own || !span.trusted || span.text.find("\u07FF") == std::string::npos);
    previous = span.trusted;
  }
  return 0;
}
