#include "coordinator/api/inference.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "model/generation/context_overflow.h"
#include "model/generation/reasoning_text.h"
#include "model/grammar/grammar.h"
#include "model/grammar/json_grammar.h"
#include "model/tool_calls/tool_grammar.h"

namespace potluck::coordinator {
namespace {

constexpr size_t kMostOngoing = 4096;

// What the answer has to look like, as GBNF; empty: it is free.
absl::StatusOr<std::string> GrammarOf(const AnswerRequest& asked, model::ToolFormat format) {
  if (!asked.tools.may_call() && asked.schema.is_null()) return asked.sampling.grammar;
  absl::StatusOr<std::string> grammar;
  if (asked.tools.may_call()) {
    grammar = ToolGrammar(asked.tools, format, asked.schema);
  } else {
    grammar = model::SchemaGrammar(asked.schema);
    if (!grammar.ok()) return Annotate(grammar.status(), "response_format");
  }
  // It may be too large, or lead in a circle.
  if (grammar.ok()) POTLUCK_RETURN_IF_ERROR(model::ParseGbnf(*grammar).status());
  return grammar;
}

// What a request comes to for its model.
struct Prepared {
  std::vector<model::ChatPrompt> prompts;
  std::string grammar;
};

absl::StatusOr<Prepared> Prepare(const model::TextCodec& text, const AnswerRequest& asked,
                                 const model::ChatInput& at, int64_t context_length) {
  Prepared prepared;
  for (const Prompt& prompt : asked.prompts) {
    model::ChatPrompt& encoded = prepared.prompts.emplace_back();
    if (const auto* plain = std::get_if<std::string>(&prompt)) {
      POTLUCK_ASSIGN_OR_RETURN(encoded.ids, text.EncodeText(*plain, context_length));
    } else if (const auto* conversation = std::get_if<Conversation>(&prompt)) {
      model::ChatInput input = at;
      input.messages = conversation->messages;
      input.tools = conversation->tools;
      input.extra = conversation->extra;
      POTLUCK_ASSIGN_OR_RETURN(encoded,
                               text.EncodeChat(std::move(input), asked.tools, context_length));
    } else {
      encoded.ids = std::get<std::vector<model::TokenId>>(prompt);
    }
  }
  POTLUCK_ASSIGN_OR_RETURN(prepared.grammar, GrammarOf(asked, text.tool_format()));
  return prepared;
}

using Inputs = std::vector<std::vector<model::TokenId>>;

absl::StatusOr<std::vector<model::TokenId>> EncodeInput(const ServedModel& model,
                                                        const Prompt& prompt,
                                                        int64_t context_length) {
  const auto check = [&](int64_t tokens) {
    if (tokens <= context_length) return absl::OkStatus();
    return model::ContextOverflowError(
        {.prompt_tokens = tokens, .context_length = context_length, .with_answer = false},
        "cut the text into shorter ones");
  };
  std::vector<model::TokenId> ids;
  if (const auto* plain = std::get_if<std::string>(&prompt)) {
    POTLUCK_RETURN_IF_ERROR(
        check(static_cast<int64_t>(model.text.tokenizer().FewestIds(plain->size()))));
    POTLUCK_ASSIGN_OR_RETURN(ids, model.text.EncodeText(*plain));
  } else {
    ids = std::get<std::vector<model::TokenId>>(prompt);
  }
  if (ids.empty()) return absl::InvalidArgumentError("it is empty: there is nothing to embed");
  const auto unknown =
      std::ranges::find_if(ids, [&](model::TokenId id) { return id >= model.vocab_size; });
  if (unknown != ids.end())
    return absl::InvalidArgumentError(
        absl::StrCat("it has a token ", *unknown, ", which the model's vocabulary does not have"));
  POTLUCK_RETURN_IF_ERROR(check(std::ssize(ids)));
  return ids;
}

absl::StatusOr<Inputs> EncodeInputs(const ServedModel& model, const EmbeddingRequest& asked,
                                    int64_t context_length) {
  if (model.pooling == model::Pooling::kOther)
    return absl::InvalidArgumentError(
        "this model's file says that it embeds in a way that Potluck does not know (a reranker, or "
        "one "
        "whose tokens see those after them): it cannot embed");
  Inputs inputs;
  for (const Prompt& prompt : asked.inputs) {
    auto ids = EncodeInput(model, prompt, context_length);
    if (!ids.ok() && asked.inputs.size() > 1)
      return Annotate(ids.status(), absl::StrCat("input ", inputs.size()));
    POTLUCK_RETURN_IF_ERROR(ids.status());
    inputs.push_back(*std::move(ids));
  }
  return inputs;
}

}  // namespace

Inference::Inference(Options options, const Around& around)
    : options_(std::move(options)), around_(around) {}

absl::Status Inference::CheckTaking() const {
  if (!stopping_) return absl::OkStatus();
  return absl::UnavailableError("this coordinator is being stopped: ask again when it is back");
}

model::ChatInput Inference::Now() const { return {.now = options_.local_time()}; }

void Inference::Start(std::string_view kind, AnswerRequest asked,
                      std::shared_ptr<AnswerReader> reader) {
  if (const absl::Status taking = CheckTaking(); !taking.ok()) return reader->OnFailed(taking);
  auto served = around_.models.Named(asked.model);
  if (!served.ok()) return reader->OnFailed(served.status());
  const auto request = std::make_shared<AnswerRequest>(std::move(asked));
  Elsewhere([reader] { return reader->gone(); },
            [request, to = served->model, at = Now(),
             context_length = around_.models.ContextLength(*served)] {
              return Prepare(to->text, *request, at, context_length);
            },
            [this, kind = std::string(kind), request, served = *served,
             reader](absl::StatusOr<Prepared> prepared) {
              if (!prepared.ok()) return reader->OnFailed(prepared.status());
              request->sampling.grammar = std::move(prepared->grammar);
              Submit(kind, std::move(*request), served, std::move(prepared->prompts), reader);
            });
}

void Inference::Submit(std::string_view kind, AnswerRequest asked, Served served,
                       std::vector<model::ChatPrompt> prompts,
                       std::shared_ptr<AnswerReader> reader) {
  if (const absl::Status room = CheckRoom(); !room.ok()) return reader->OnFailed(room);
  served = around_.models.ReplicaFor(served, prompts.front().ids);
  SequenceRequest request;
  request.sampling = asked.sampling.Over(served.model->text.default_sampling(), options_.random());
  if (!request.sampling.grammar.empty()) {
    if (served.model->text.tokenizer().end_of_generation().empty())
      return reader->OnFailed(absl::InvalidArgumentError(
          "this model has no token that ends an answer: it cannot keep to a grammar"));
    // Who thinks aloud first keeps to it afterwards.
    if (prompts.front().opens_reasoning) request.sampling.grammar_after = model::kThinkClose;
  }
  request.max_tokens = asked.max_tokens;
  if (!asked.ignore_eos) request.end_tokens = served.model->end_tokens;
  request.top_logprobs = asked.top_logprobs;
  request.tell_progress = asked.tell_progress;
  const uint64_t number = next_++;
  Answer::Head head{
      .id = absl::StrCat(ToAbsl(kind), absl::Hex(options_.random(), absl::kZeroPad16)),
      .model_name = asked.model.empty() ? served.name() : asked.model,
      .created = options_.unix_time()};
  const Answer::Around around{
      around_.coordinator, around_.executor,
      RequestMetricsOf(around_.metrics, served.model->name, served.instance)};
  auto answer = std::make_unique<Answer>(std::move(head), std::move(asked), served.model,
                                         std::move(reader), around, WhenEnded(number));
  Answer& started = *answer;
  ongoing_.emplace(number, std::move(answer));
  started.Start(served.instance, std::move(prompts), request);
}

void Inference::Embed(EmbeddingRequest asked, std::shared_ptr<EmbeddingReader> reader) {
  if (const absl::Status taking = CheckTaking(); !taking.ok()) return reader->OnFailed(taking);
  auto served = around_.models.Named(asked.model);
  if (!served.ok()) return reader->OnFailed(served.status());
  const std::string name = asked.model.empty() ? served->name() : asked.model;
  Elsewhere([reader] { return reader->gone(); },
            [request = std::move(asked), to = served->model,
             context_length = around_.models.ContextLength(*served)] {
              return EncodeInputs(*to, request, context_length);
            },
            [this, name, served = *served, reader](absl::StatusOr<Inputs> inputs) {
              if (!inputs.ok()) return reader->OnFailed(inputs.status());
              if (const absl::Status room = CheckRoom(); !room.ok()) return reader->OnFailed(room);
              const uint64_t number = next_++;
              const Embedding::Around around{around_.coordinator, around_.models, around_.executor,
                                             around_.metrics};
              auto embedding = std::make_unique<Embedding>(name, served, *std::move(inputs), reader,
                                                           around, WhenEnded(number));
              Embedding& started = *embedding;
              ongoing_.emplace(number, std::move(embedding));
              started.Start();
            });
}

absl::Status Inference::CheckRoom() const {
  POTLUCK_RETURN_IF_ERROR(CheckTaking());
  if (ongoing_.size() < kMostOngoing) return absl::OkStatus();
  return absl::ResourceExhaustedError("too many requests wait here already: try again later");
}

std::function<void()> Inference::WhenEnded(uint64_t number) {
  return [this, number] {
    around_.executor.Post([this, alive = std::weak_ptr(alive_), number] {
      if (alive.expired()) return;
      ongoing_.erase(number);
      TellIfAllEnded();
    });
  };
}

size_t Inference::StopTaking(std::function<void()> ended) {
  stopping_ = true;
  all_ended_ = std::move(ended);
  TellIfAllEnded();
  return ongoing_.size();
}

void Inference::TellIfAllEnded() {
  if (ongoing_.empty() && all_ended_) std::exchange(all_ended_, nullptr)();
}

void Inference::EndAll(const absl::Status& why) {
  for (const auto& [number, request] : ongoing_) request->GiveUp(why);
}

}  // namespace potluck::coordinator
