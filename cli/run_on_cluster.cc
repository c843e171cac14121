// potluck run --url: the same as on this machine, by a cluster.
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/json_fields.h"
#include "cli/run_options.h"
#include "cli/terminal.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "coordinator/api/json_text.h"

namespace potluck::cli {
namespace {

using nlohmann::ordered_json;

// What has come in less is one piece: it tells nothing of the speed at which it was made.
constexpr double kOnePieceSeconds = 1e-3;

// Events of a stream (text/event-stream) as their bytes come.
class EventReader {
 public:
  // Calls `on_data` with the data of each event that is whole now.
  template <typename OnData>
  void Feed(std::string_view bytes, OnData on_data) {
    waiting_.append(bytes);
    for (size_t end = 0; (end = waiting_.find("\n\n")) != std::string::npos;) {
      const std::string event = waiting_.substr(0, end);
      waiting_.erase(0, end + 2);
      constexpr std::string_view kData = "data: ";
      if (event.starts_with(kData)) on_data(event.substr(kData.size()));
    }
  }

 private:
  std::string waiting_;
};

struct RemoteAnswer {
  std::string text, finish_reason;
  ordered_json logprobs = ordered_json::array();
  ordered_json usage = ordered_json::object();
  absl::Duration first_token, last_token;
};

class RemoteRunner {
 public:
  RemoteRunner(const RunOptions& options, HttpClient client, bool chats)
      : options_(options), client_(std::move(client)), chats_(chats) {}

  absl::Status AnswerOnce(const std::string& prompt) {
    ordered_json body = Body();
    if (chats_) {
      StartConversation();
      messages_.push_back({{"role", "user"}, {"content", prompt}});
      body["messages"] = messages_;
    } else {
      body["prompt"] = prompt;
    }
    return Ask(std::move(body)).status();
  }

  absl::Status Converse() {
    absl::FPrintF(
        stderr,
        "Write, and end with Enter. /clear forgets the conversation; /exit or Ctrl-D ends it.\n");
    StartConversation();
    while (true) {
      absl::FPrintF(stderr, "> ");
      const std::optional<std::string> line = input_.Next();
      if (!line.has_value()) absl::FPrintF(stderr, "\n");
      if (!line.has_value() || *line == "/exit") return absl::OkStatus();
      if (*line == "/clear") StartConversation();
      if (line->empty() || *line == "/clear") continue;
      if (const absl::Status utf8 = CheckUtf8(*line, "the line"); !utf8.ok()) {
        absl::FPrintF(stderr, "%s\n", utf8.message());
        continue;
      }
      messages_.push_back({{"role", "user"}, {"content", *line}});
      ordered_json body = Body();
      body["messages"] = messages_;
      const auto answer = Ask(std::move(body));
      if (answer.ok()) {
        messages_.push_back({{"role", "assistant"}, {"content", answer->text}});
      } else {
        absl::FPrintF(stderr, "%s\n", answer.status().message());
        messages_.erase(messages_.size() - 1);
      }
      ClearInterrupt();
    }
  }

 private:
  void StartConversation() {
    messages_ = ordered_json::array();
    if (!options_.system.empty())
      messages_.push_back({{"role", "system"}, {"content", options_.system}});
  }

  ordered_json Body() const {
    ordered_json body = {{"model", options_.model.model},
                         {"stream", true},
                         {"stream_options", {{"include_usage", true}}}};
    const auto set = [&](const char* key, const auto& value) {
      if (value.has_value()) body[key] = *value;
    };
    const model::SamplingOverrides& sampling = options_.sampling;
    set("temperature", sampling.temperature);
    set("top_k", sampling.top_k);
    set("top_p", sampling.top_p);
    set("min_p", sampling.min_p);
    set("repeat_penalty", sampling.repeat_penalty);
    set("presence_penalty", sampling.presence_penalty);
    set("frequency_penalty", sampling.frequency_penalty);
    set("seed", sampling.seed);
    if (!sampling.grammar.empty()) body["grammar"] = sampling.grammar;
    if (options_.max_tokens >= 0) body["max_tokens"] = options_.max_tokens;
    if (chats_) body["reasoning_format"] = "none";  // all is shown, as without a cluster
    if (!options_.stop.empty()) body["stop"] = options_.stop;
    if (options_.top_logprobs >= 0) {
      body["logprobs"] = chats_ ? ordered_json(true) : ordered_json(options_.top_logprobs);
      if (chats_) body["top_logprobs"] = options_.top_logprobs;
    }
    return body;
  }

  absl::StatusOr<RemoteAnswer> Ask(ordered_json body) {
    RemoteAnswer answer;
    absl::Status failed;
    EventReader events;
    const absl::Duration start = SteadyClock().SinceStart();
    const auto on_event = [&](const std::string& data) {
      const ordered_json chunk = ordered_json::parse(data, nullptr, /*allow_exceptions=*/false);
      if (chunk.is_object()) failed.Update(Take(chunk, start, answer));
    };
    POTLUCK_ASSIGN_OR_RETURN(const HttpReply reply,
                             client_.Post(chats_ ? "/v1/chat/completions" : "/v1/completions",
                                          coordinator::Dump(body), [&](std::string_view piece) {
                                            events.Feed(piece, on_event);
                                            return failed.ok();
                                          }));
    POTLUCK_RETURN_IF_ERROR(failed);
    if (reply.status != 200) return JsonOf(reply).status();
    if (answer.finish_reason.empty())
      return absl::UnavailableError("the answer broke off: the coordinator went away");
    Show(answer);
    return answer;
  }

  absl::Status Take(const ordered_json& chunk, absl::Duration start, RemoteAnswer& answer) {
    if (chunk.contains("error")) {
      const std::string message = Text(Part(chunk, "error"), "message");
      return absl::UnavailableError(message.empty() ? "it failed" : message);
    }
    if (const ordered_json& usage = Part(chunk, "usage"); !usage.empty()) answer.usage = usage;
    const ordered_json& choices = List(chunk, "choices");
    if (choices.empty()) return absl::OkStatus();
    const ordered_json& choice = choices.front();
    ShowText(Text(Part(choice, "delta"), "content") + Text(choice, "text"), start, answer);
    for (const ordered_json& token : List(Part(choice, "logprobs"), "content"))
      answer.logprobs.push_back(token);
    const std::string reason = Text(choice, "finish_reason");
    if (!reason.empty()) answer.finish_reason = reason;
    return absl::OkStatus();
  }

  void ShowText(const std::string& text, absl::Duration start, RemoteAnswer& answer) {
    if (text.empty()) return;
    answer.last_token = SteadyClock().SinceStart() - start;
    if (answer.text.empty()) answer.first_token = answer.last_token;
    answer.text += text;
    if (options_.json) return;
    std::cout << text << std::flush;
  }

  void Show(const RemoteAnswer& answer) const {
    const int64_t prompt = Amount(answer.usage, "prompt_tokens");
    const int64_t generated = Amount(answer.usage, "completion_tokens");
    if (options_.json) {
      const ordered_json result = {
          {"text", answer.text},
          {"logprobs", options_.top_logprobs >= 0 ? answer.logprobs : ordered_json()},
          {"usage", answer.usage},
          {"finish_reason", answer.finish_reason}};
      std::cout << coordinator::Dump(result) << "\n";
      return;
    }
    std::cout << "\n" << std::flush;
    const double seconds = absl::ToDoubleSeconds(answer.last_token - answer.first_token);
    const std::string speed =
        generated > 1 && seconds > kOnePieceSeconds
            ? absl::StrFormat(", %.1f tokens/s", static_cast<double>(generated - 1) / seconds)
            : "";
    absl::FPrintF(stderr, "prompt %d tokens; first token after %d ms; generated %d tokens%s; %s\n",
                  prompt, absl::ToInt64Milliseconds(answer.first_token), generated, speed,
                  answer.finish_reason);
  }

  const RunOptions& options_;
  const HttpClient client_;
  const bool chats_;
  ordered_json messages_;
  LineReader input_;
};

// Whether the model has a chat template; of any that is loaded, where none is named.
absl::StatusOr<bool> HasTemplate(const HttpClient& client, const std::string& model) {
  POTLUCK_ASSIGN_OR_RETURN(const HttpReply reply, client.Get("/v1/models"));
  POTLUCK_ASSIGN_OR_RETURN(const ordered_json models, JsonOf(reply));
  for (const ordered_json& entry : List(models, "data")) {
    const ordered_json& meta = Part(entry, "meta");
    const ordered_json& aliases = List(entry, "aliases");
    if (Text(entry, "id") != model && Text(meta, "name") != model &&
        std::ranges::find(aliases, ordered_json(model)) == aliases.end())
      continue;
    return !meta.contains("has_chat_template") || Flag(meta, "has_chat_template");
  }
  return true;
}

}  // namespace

absl::Status RunOnCluster(const RunOptions& options, const std::optional<std::string>& prompt) {
  POTLUCK_ASSIGN_OR_RETURN(HttpClient client, ConnectTo(options.cluster));
  bool chats = !options.raw;
  if (chats && prompt.has_value() && options.system.empty()) {
    POTLUCK_ASSIGN_OR_RETURN(chats, HasTemplate(client, options.model.model));
  }
  RemoteRunner runner(options, std::move(client), chats);
  return prompt.has_value() ? runner.AnswerOnce(*prompt) : runner.Converse();
}

}  // namespace potluck::cli
