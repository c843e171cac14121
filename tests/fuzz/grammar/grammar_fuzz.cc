// A grammar and a text (after the first zero byte), or a JSON schema: what a schema becomes is a
// grammar, and a walk through a grammar ends.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "model/bounded_json.h"
#include "model/grammar/grammar.h"
#include "model/grammar/grammar_automaton.h"
#include "model/grammar/json_grammar.h"

namespace potluck::model {
namespace {

void Walk(Grammar grammar, std::string_view text) {
  GrammarAutomaton automaton(std::make_shared<Grammar>(std::move(grammar)));
  GrammarAutomaton::State state = automaton.start();
  for (const char c : text.substr(0, 64)) state = automaton.Next(state, static_cast<uint8_t>(c));
  // Forgetting changes nothing.
  const bool accepts = automaton.accepts(state);
  automaton.Forget();
  state = automaton.start();
  for (const char c : text.substr(0, 64)) state = automaton.Next(state, static_cast<uint8_t>(c));
  if (automaton.accepts(state) != accepts) std::abort();
}

// A circle of references, and a bound on size, are the grammar's to refuse.
bool IsToBeRefused(const absl::Status& status) {
  for (const char* reason : {"may begin with itself", "states", "bytes, more than"}) {
    if (status.message().find(reason) != absl::string_view::npos) return true;
  }
  return false;
}

}  // namespace
}  // namespace potluck::model

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace potluck::model;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::string_view text = input.substr(0, input.find('\0'));
  const std::string_view rest = input.substr(std::min(text.size() + 1, input.size()));
  if (auto grammar = ParseGbnf(text); grammar.ok()) {
    Walk(*grammar, rest);
    if (!rest.empty()) Walk(After(rest.substr(0, 8), *std::move(grammar)), rest);
  }
  if (ParseBoundedJson(text).ok()) {
    const auto schema = SchemaTextGrammar(text);
    if (!schema.ok()) return 0;
    auto grammar = ParseGbnf(*schema);
    if (!grammar.ok()) {
      if (!IsToBeRefused(grammar.status())) std::abort();
      return 0;
    }
    Walk(*std::move(grammar), rest);
  }
  return 0;
}
