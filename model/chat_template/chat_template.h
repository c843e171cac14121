// A model's chat template: the Jinja program, shipped with the model, that turns a conversation
// into the one text that the model was trained to continue. Run here as Hugging Face transformers
// runs it (trim_blocks, lstrip_blocks, break/continue, its own tojson), in an interpreter of ours.
//
// What the output tells beyond its text is where the text comes from. Text of the template's own
// literals, of bos_token and of eos_token is trusted; text of messages, tools and extra values is
// not, through every string operation (a result made of both in a way that can't be told apart is
// untrusted). The one exception: a message's role, where it is one of the usual words ("user",
// "tool", ...), is trusted, since templates write '<|' + role + '|>'. The tokenizer lets only
// trusted spans become control tokens, so a user who writes
// "<|im_end|>" ends no turn.
//
// Templates are somebody's bytes: one that is endless, recursive or hungry ends in an error, never
// in a hang or in memory gone (see RenderLimits).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/civil_time.h"
#include "model/tokenizer/text_span.h"

namespace potluck::model {

namespace jinja {
struct Program;
}

// What a template is rendered over. Strings are UTF-8.
struct ChatInput {
  // An array of {"role", "content", ...}; content is a string, null or a list of parts. Everything
  // else (tool_calls, name, reasoning_content, ...) is handed to the template as it is.
  nlohmann::ordered_json messages = nlohmann::ordered_json::array();
  // An array of tool descriptions, or null where there are none.
  nlohmann::ordered_json tools = nullptr;
  // Further variables of the template, by name: {"enable_thinking": false}. The names of the other
  // members here are taken.
  nlohmann::ordered_json extra = nlohmann::ordered_json::object();
  // Ends the text with the opening of an answer.
  bool add_generation_prompt = true;
  // The texts of the model's own tokens; empty where it has none.
  std::string bos_token;
  std::string eos_token;
  // What strftime_now prints: the local time of the person who asks, given by the caller.
  absl::CivilSecond now;
};

// Where a render ends, whatever the template says. Crossing it is ResourceExhausted, with the line.
struct RenderLimits {
  // Every byte that a render allocates counts one, every node of the template that it evaluates
  // counts ten: so this bounds memory as well as time. The default is a fraction of a second.
  int64_t work = 100'000'000;
};

class ChatTemplate {
 public:
  // Parses `source`, Jinja text of at most 1 MiB.
  // InvalidArgument: a syntax error or something that templates of this kind don't use, with line.
  static absl::StatusOr<ChatTemplate> Parse(std::string source);

  // <|im_start|>role\ncontent<|im_end|>\n per message: for files that bring no template.
  static ChatTemplate ChatMl();

  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  // The conversation as text; neighbouring spans differ in trust and none is empty. Thread-safe:
  // renders don't change the template.
  // InvalidArgument: the template refuses the conversation (raise_exception: its own words), or
  // does what Python would raise an error for; with line. ResourceExhausted: a limit was crossed.
  absl::StatusOr<TextSpans> Render(const ChatInput& input, const RenderLimits& limits = {}) const;

  // The template's text, as given to Parse.
  const std::string& source() const { return source_; }

  // Whether the template reads the variable `name` anywhere ("tools", "enable_thinking"): what a
  // caller offers beyond that is lost on this model.
  bool Reads(const std::string& name) const;

 private:
  ChatTemplate(std::string source, std::unique_ptr<const jinja::Program> program);

  std::string source_;
  std::unique_ptr<const jinja::Program> program_;
};

}  // namespace potluck::model
