#include "model/grammar/answer_grammars.h"

#include <algorithm>

#include "common/status_macros.h"

namespace potluck::model {
namespace {

absl::StatusOr<Grammar> GrammarOf(const SamplingParams& sampling) {
  POTLUCK_ASSIGN_OR_RETURN(Grammar grammar, ParseGbnf(sampling.grammar));
  if (sampling.grammar_after.empty()) return grammar;
  return After(sampling.grammar_after, std::move(grammar));
}

}  // namespace

absl::StatusOr<std::unique_ptr<AnswerGrammar>> AnswerGrammars::Begin(
    const SamplingParams& sampling) {
  if (sampling.grammar.empty()) return nullptr;
  const auto is_same = [&](const Known& known) {
    return known.grammar == sampling.grammar && known.after == sampling.grammar_after;
  };
  if (const auto known = std::ranges::find_if(known_, is_same); known != known_.end()) {
    std::rotate(known_.begin(), known, known + 1);
  } else {
    POTLUCK_ASSIGN_OR_RETURN(Grammar grammar, GrammarOf(sampling));
    if (vocabulary_ == nullptr) {
      POTLUCK_ASSIGN_OR_RETURN(vocabulary_, open_());
    }
    auto masks =
        std::make_shared<TokenMasks>(std::make_shared<Grammar>(std::move(grammar)), vocabulary_);
    known_.push_front({sampling.grammar, sampling.grammar_after, std::move(masks)});
    if (known_.size() > kKept) known_.pop_back();
  }
  return std::make_unique<AnswerGrammar>(known_.front().masks);
}

absl::Status CheckGrammar(const SamplingParams& sampling) {
  return sampling.grammar.empty() ? absl::OkStatus() : GrammarOf(sampling).status();
}

}  // namespace potluck::model
