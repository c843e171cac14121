#include "model/tokenizer/tokenizer_json_steps.h"

#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "model/tokenizer/pattern.h"

namespace potluck::model {
namespace {

constexpr size_t kMaxSteps = 64;
constexpr size_t kMaxContentBytes = 1024;
constexpr std::string_view kMetaspace = "\u2581";
// ByteLevel's own pattern, GPT-2's.
constexpr std::string_view kByteLevelPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

std::string TypeOf(const Json& part) { return StringValue(FindKey(part, "type")).value_or(""); }

absl::Status Unsupported(absl::string_view what, const Json& part, absl::string_view supported) {
  return absl::UnimplementedError(absl::StrCat("tokenizer.json: ", what, " \"",
                                               Printable(TypeOf(part)),
                                               "\" is not supported; supported are ", supported));
}

absl::Status Invalid(absl::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat("tokenizer.json: ", problem));
}

// {"String": text} or {"Regex": text}
absl::StatusOr<std::string> PatternOf(const Json& part) {
  const Json* pattern = FindKey(part, "pattern");
  if (pattern != nullptr) {
    if (const auto text = StringValue(FindKey(*pattern, "String"))) return QuotePattern(*text);
    if (const auto regex = StringValue(FindKey(*pattern, "Regex"))) return *regex;
  }
  return Invalid(absl::StrCat(Printable(TypeOf(part)), " has no pattern"));
}

absl::StatusOr<SplitBehavior> BehaviorOf(const Json& part) {
  const std::string name = StringValue(FindKey(part, "behavior")).value_or("Isolated");
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  return Invalid(absl::StrCat("unknown split behavior \"", Printable(name), "\""));
}

// A Sequence's own list, or null where `part` is none. Lists within lists are bounded by the depth
// of the JSON.
const Json* SequenceOf(const Json& part, const char* key) {
  return TypeOf(part) == "Sequence" ? FindKey(part, key) : nullptr;
}

absl::StatusOr<std::string> ContentOf(const Json& part, const char* key) {
  const auto content = StringValue(FindKey(part, key));
  if (!content || content->size() > kMaxContentBytes) {
    return Invalid(absl::StrCat(Printable(TypeOf(part)), " needs a short string \"", key, "\""));
  }
  return *content;
}

absl::Status ReadNormalizer(const Json& part, std::vector<NormalizerStep>& steps) {
  if (steps.size() >= kMaxSteps) return Invalid("too many normalisers");
  if (const Json* list = SequenceOf(part, "normalizers"); list != nullptr && list->is_array()) {
    for (const Json& each : *list) POTLUCK_RETURN_IF_ERROR(ReadNormalizer(each, steps));
    return absl::OkStatus();
  }
  using Kind = NormalizerStep::Kind;
  const std::string type = TypeOf(part);
  NormalizerStep step;
  if (type == "NFC") {
    step.kind = Kind::kNfc;
  } else if (type == "NFD") {
    step.kind = Kind::kNfd;
  } else if (type == "NFKC") {
    step.kind = Kind::kNfkc;
  } else if (type == "NFKD") {
    step.kind = Kind::kNfkd;
  } else if (type == "Prepend") {
    step.kind = Kind::kPrepend;
    POTLUCK_ASSIGN_OR_RETURN(step.content, ContentOf(part, "prepend"));
  } else if (type == "Replace") {
    step.kind = Kind::kReplace;
    POTLUCK_ASSIGN_OR_RETURN(step.pattern, PatternOf(part));
    POTLUCK_ASSIGN_OR_RETURN(step.content, ContentOf(part, "content"));
  } else {
    return Unsupported("normaliser", part, "NFC, NFD, NFKC, NFKD, Prepend, Replace, Sequence");
  }
  steps.push_back(std::move(step));
  return absl::OkStatus();
}

void AddSplit(std::string_view pattern, SplitBehavior behavior, bool invert, TextSteps& steps) {
  PreTokenizerStep step;
  step.pattern = pattern;
  step.behavior = behavior;
  step.invert = invert;
  steps.pre_tokenizers.push_back(std::move(step));
}

absl::Status ReadMetaspace(const Json& part, TextSteps& steps) {
  if (StringValue(FindKey(part, "replacement")).value_or(std::string(kMetaspace)) != kMetaspace) {
    return Invalid("Metaspace with another replacement than U+2581 is not supported");
  }
  using Prepend = PreTokenizerStep::Prepend;
  PreTokenizerStep step;
  step.kind = PreTokenizerStep::Kind::kMetaspace;
  const auto scheme = StringValue(FindKey(part, "prepend_scheme"));
  const bool older = BoolValue(FindKey(part, "add_prefix_space")).value_or(true);
  if (!scheme) {
    step.prepend = older ? Prepend::kAlways : Prepend::kNever;
  } else if (*scheme == "first") {
    step.prepend = Prepend::kFirst;
  } else if (*scheme == "always") {
    step.prepend = Prepend::kAlways;
  } else if (*scheme == "never") {
    step.prepend = Prepend::kNever;
  } else {
    return Invalid(absl::StrCat("unknown prepend_scheme \"", Printable(*scheme), "\""));
  }
  steps.pre_tokenizers.push_back(step);
  if (BoolValue(FindKey(part, "split")).value_or(true)) {
    AddSplit(kMetaspace, SplitBehavior::kMergedWithNext, false, steps);
  }
  return absl::OkStatus();
}

absl::Status ReadPreTokenizer(const Json& part, TextSteps& steps, bool& byte_level) {
  if (steps.pre_tokenizers.size() >= kMaxSteps) return Invalid("too many pre-tokenisers");
  if (const Json* list = SequenceOf(part, "pretokenizers"); list != nullptr && list->is_array()) {
    for (const Json& each : *list) {
      POTLUCK_RETURN_IF_ERROR(ReadPreTokenizer(each, steps, byte_level));
    }
    return absl::OkStatus();
  }
  const std::string type = TypeOf(part);
  // Whatever follows would see the byte alphabet instead of the text.
  if (byte_level) return Invalid("a pre-tokeniser after ByteLevel is not supported");
  if (type == "ByteLevel") {
    byte_level = true;
    if (BoolValue(FindKey(part, "add_prefix_space")).value_or(true)) {
      PreTokenizerStep step;
      step.kind = PreTokenizerStep::Kind::kPrefixSpace;
      steps.pre_tokenizers.push_back(step);
    }
    if (BoolValue(FindKey(part, "use_regex")).value_or(true)) {
      AddSplit(kByteLevelPattern, SplitBehavior::kIsolated, false, steps);
    }
  } else if (type == "Split") {
    POTLUCK_ASSIGN_OR_RETURN(const std::string pattern, PatternOf(part));
    POTLUCK_ASSIGN_OR_RETURN(const SplitBehavior behavior, BehaviorOf(part));
    AddSplit(pattern, behavior, BoolValue(FindKey(part, "invert")).value_or(false), steps);
  } else if (type == "Metaspace") {
    return ReadMetaspace(part, steps);
  } else if (type == "Digits") {
    const bool each = BoolValue(FindKey(part, "individual_digits")).value_or(false);
    AddSplit(R"(\p{N})", each ? SplitBehavior::kIsolated : SplitBehavior::kContiguous, false,
             steps);
  } else if (type == "Punctuation") {
    POTLUCK_ASSIGN_OR_RETURN(const SplitBehavior behavior, BehaviorOf(part));
    AddSplit(R"([!-/:-@\[-`{-~\p{P}])", behavior, false, steps);
  } else {
    return Unsupported("pre-tokeniser", part,
                       "ByteLevel, Split, Metaspace, Digits, Punctuation, Sequence");
  }
  return absl::OkStatus();
}

// The ids of a special token that a template names.
absl::Status AppendSpecial(const Json& processor, const Json& piece, std::vector<TokenId>& ids) {
  const std::string name = StringValue(FindKey(piece, "id")).value_or("");
  const Json* specials = FindKey(processor, "special_tokens");
  const Json* special = specials == nullptr ? nullptr : FindKey(*specials, name);
  const Json* list = special == nullptr ? nullptr : FindKey(*special, "ids");
  if (list == nullptr || !list->is_array()) {
    return Invalid(absl::StrCat("the template's special token \"", Printable(name),
                                "\" has no ids in special_tokens"));
  }
  for (const Json& each : *list) {
    const auto id = IntValue(&each);
    if (!id || *id < 0 || *id > INT32_MAX || ids.size() >= kMaxSteps) {
      return Invalid("a template has an id out of range");
    }
    ids.push_back(static_cast<TokenId>(*id));
  }
  return absl::OkStatus();
}

absl::Status ReadTemplate(const Json& processor, TextSteps& steps) {
  const Json* single = FindKey(processor, "single");
  if (single == nullptr || !single->is_array()) {
    return Invalid("TemplateProcessing without a template for single texts");
  }
  bool text_seen = false;
  for (const Json& piece : *single) {
    if (const Json* special = FindKey(piece, "SpecialToken")) {
      POTLUCK_RETURN_IF_ERROR(
          AppendSpecial(processor, *special, text_seen ? steps.after_text : steps.before_text));
    } else if (FindKey(piece, "Sequence") != nullptr && !text_seen) {
      text_seen = true;
    } else {
      return Invalid("TemplateProcessing names something else than special tokens and one text");
    }
  }
  return text_seen ? absl::OkStatus() : Invalid("TemplateProcessing leaves the text out");
}

// ["</s>", 2]
absl::Status ReadNamedId(const Json& processor, const char* key, std::vector<TokenId>& ids) {
  const Json* pair = FindKey(processor, key);
  const auto id = pair != nullptr && pair->is_array() && pair->size() == 2 ? IntValue(&(*pair)[1])
                                                                           : std::nullopt;
  if (!id || *id < 0 || *id > INT32_MAX) {
    return Invalid(absl::StrCat("the post-processor's \"", key, "\" is no pair of name and id"));
  }
  ids.push_back(static_cast<TokenId>(*id));
  return absl::OkStatus();
}

absl::Status ReadPostProcessor(const Json& part, TextSteps& steps) {
  if (const Json* list = SequenceOf(part, "processors"); list != nullptr && list->is_array()) {
    for (const Json& each : *list) POTLUCK_RETURN_IF_ERROR(ReadPostProcessor(each, steps));
    return absl::OkStatus();
  }
  const std::string type = TypeOf(part);
  if (type == "ByteLevel") return absl::OkStatus();  // about offsets only
  if (type == "TemplateProcessing") return ReadTemplate(part, steps);
  if (type == "RobertaProcessing" || type == "BertProcessing") {
    POTLUCK_RETURN_IF_ERROR(ReadNamedId(part, "cls", steps.before_text));
    return ReadNamedId(part, "sep", steps.after_text);
  }
  return Unsupported("post-processor", part,
                     "TemplateProcessing, RobertaProcessing, BertProcessing, ByteLevel, Sequence");
}

}  // namespace

absl::Status ReadTextSteps(const Json& tokenizer, TextSteps& steps, bool& byte_level) {
  byte_level = false;
  if (const Json* normalizer = FindKey(tokenizer, "normalizer")) {
    POTLUCK_RETURN_IF_ERROR(ReadNormalizer(*normalizer, steps.normalizers));
  }
  if (const Json* pre_tokenizer = FindKey(tokenizer, "pre_tokenizer")) {
    POTLUCK_RETURN_IF_ERROR(ReadPreTokenizer(*pre_tokenizer, steps, byte_level));
  }
  if (const Json* post_processor = FindKey(tokenizer, "post_processor")) {
    POTLUCK_RETURN_IF_ERROR(ReadPostProcessor(*post_processor, steps));
  }
  return absl::OkStatus();
}

}  // namespace potluck::model
