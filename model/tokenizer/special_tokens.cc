#include "model/tokenizer/special_tokens.h"

#include <algorithm>
#include <set>
#include <span>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "common/text.h"

namespace potluck::model {
namespace {

// Facts of llama.cpp's llama-vocab.cpp.
constexpr std::string_view kEndOfTurn[] = {
    "<|eot_id|>",        "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>",
    "<|end_of_text|>",   "<EOT>",      "_<EOT>",  "[EOT]",         "<｜end▁of▁sentence｜>",
    "<end_of_utterance>"};
constexpr std::string_view kEndOfGeneration[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>",
    "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]",
    "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>",
    "<｜end▁of▁sentence｜>", "[e~[",
    // Fill-in-the-middle: padding and the borders between files.
    "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]", "<|fim_repo|>", "<|repo_name|>",
    "<fim-repo>", "<REPO>", "<reponame>", "<|file_sep|>"};
// Starts and middles of fill-in-the-middle: control tokens, too, though they end nothing.
constexpr std::string_view kFillInTheMiddle[] = {
    "<|fim_prefix|>", "<fim-prefix>",    "<fim_prefix>",    "<｜fim▁begin｜>", "<PRE>",
    "▁<PRE>",         "<|code_prefix|>", "<|prefix|>",      "<|fim_suffix|>",  "<fim-suffix>",
    "<fim_suffix>",   "<｜fim▁hole｜>",  "<SUF>",           "▁<SUF>",          "<|code_suffix|>",
    "<|suffix|>",     "<|fim_middle|>",  "<fim-middle>",    "<fim_middle>",    "<｜fim▁end｜>",
    "<MID>",          "▁<MID>",          "<|code_middle|>", "<|middle|>"};
// Where a call of a tool begins or ends in an answer.
constexpr std::string_view kToolMarks[] = {"[TOOL_CALLS]", "<|python_tag|>", "<tool_call>",
                                           "</tool_call>"};

class Spellings {
 public:
  explicit Spellings(const Vocabulary& vocabulary) {
    const auto note = [&](std::span<const std::string_view> names) {
      for (const std::string_view name : names) ids_.try_emplace(ToAbsl(name), -1);
    };
    note(kEndOfTurn);
    note(kEndOfGeneration);
    note(kFillInTheMiddle);
    note(kToolMarks);
    for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
      const auto found = ids_.find(vocabulary.tokens[id].text);
      if (found != ids_.end() && found->second < 0) found->second = static_cast<TokenId>(id);
    }
  }
  std::optional<TokenId> Find(std::string_view name) const {
    const auto found = ids_.find(ToAbsl(name));
    if (found == ids_.end() || found->second < 0) return std::nullopt;
    return found->second;
  }

 private:
  absl::flat_hash_map<absl::string_view, TokenId> ids_;
};

void DropOutOfRange(Vocabulary& vocabulary, std::vector<std::string>& warnings) {
  const auto check = [&](std::optional<TokenId>& id, absl::string_view name) {
    if (!id || (*id >= 0 && static_cast<size_t>(*id) < vocabulary.tokens.size())) return;
    warnings.push_back(absl::StrCat("the vocabulary's ", name, " token ", *id,
                                    " is not one of its ", vocabulary.tokens.size(),
                                    " tokens; it is ignored"));
    id.reset();
  };
  check(vocabulary.bos, "bos");
  check(vocabulary.eos, "eos");
  check(vocabulary.eot, "eot");
  check(vocabulary.unknown, "unknown");
  check(vocabulary.padding, "padding");
}

}  // namespace

void CompleteSpecialTokens(Vocabulary& vocabulary, std::vector<std::string>& warnings) {
  auto& tokens = vocabulary.tokens;
  DropOutOfRange(vocabulary, warnings);
  if (vocabulary.kind == TokenizerKind::kSentencePieceBpe && tokens.size() > 2) {
    if (!vocabulary.bos) vocabulary.bos = 1;
    if (!vocabulary.eos) vocabulary.eos = 2;
    if (!vocabulary.unknown) vocabulary.unknown = 0;
  }
  const Spellings spellings(vocabulary);
  for (const std::string_view name : kEndOfTurn) {
    if (!vocabulary.eot) vocabulary.eot = spellings.Find(name);
  }
  std::set<TokenId> ends;
  const auto make_control = [&](TokenId id) { tokens[id].type = TokenType::kControl; };
  for (const std::string_view name : kFillInTheMiddle) {
    if (const auto id = spellings.Find(name)) make_control(*id);
  }
  for (const std::string_view name : kEndOfGeneration) {
    if (const auto id = spellings.Find(name)) {
      ends.insert(*id);
      make_control(*id);
    }
  }
  for (const TokenId id : vocabulary.end_of_generation) {
    if (id >= 0 && static_cast<size_t>(id) < tokens.size()) ends.insert(id);
  }
  if (vocabulary.eos) ends.insert(*vocabulary.eos);
  if (vocabulary.eot) ends.insert(*vocabulary.eot);
  // Where a reply has several parts, each closed by <|end|>, that token does not end it.
  const auto has = [&](std::string_view name) { return spellings.Find(name).has_value(); };
  const bool calls = has("<|call|>") || has("<|calls|>");
  if (calls && (has("<|return|>") || has("<|flush|>")) && has("<|end|>")) {
    ends.erase(*spellings.Find("<|end|>"));
  }
  // Where a vocabulary with other ends has </s> as well, it is an HTML tag.
  if (has("<|tool_response>") && has("</s>")) {
    ends.erase(*spellings.Find("</s>"));
    tokens[*spellings.Find("</s>")].type = TokenType::kNormal;
  }
  vocabulary.end_of_generation.assign(ends.begin(), ends.end());
  for (const std::string_view name : kToolMarks) {
    if (const auto id = spellings.Find(name)) vocabulary.tool_marks.push_back(*id);
  }
}

}  // namespace potluck::model
