#include "model/tokenizer/tokenizer.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "model/tokenizer/added_token_matcher.h"
#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/merge_model.h"
#include "model/tokenizer/pre_tokenizers.h"
#include "model/tokenizer/special_tokens.h"
#include "model/tokenizer/text_pipeline.h"

namespace potluck::model {
namespace {

constexpr std::string_view kMetaspace = "\u2581";
constexpr size_t kMaxTextBytes = size_t{1} << 30;
// UTF-8 in one of Unicode's normal forms is at most so many times shorter: a letter of four bytes
// may become one of ASCII. Source: Unicode Standard Annex 15.
constexpr size_t kMostUnicodeShrinks = 4;

std::string WithSpaces(std::string_view text) {
  return absl::StrReplaceAll(ToAbsl(text), {{ToAbsl(kMetaspace), " "}});
}

NormalizerStep Prepend(std::string_view content) {
  NormalizerStep step;
  step.kind = NormalizerStep::Kind::kPrepend;
  step.content = content;
  return step;
}

NormalizerStep EscapeSpaces() {
  NormalizerStep step;
  step.kind = NormalizerStep::Kind::kReplace;
  step.pattern = " ";
  step.content = kMetaspace;
  return step;
}

// The byte of a token that is spelled <0xHH>, or -1.
int ByteOfSpelling(std::string_view text) {
  if (text.size() != 6 || text.substr(0, 3) != "<0x" || text[5] != '>' ||
      !absl::ascii_isxdigit(text[3]) || !absl::ascii_isxdigit(text[4])) {
    return -1;
  }
  return std::stoi(std::string(text.substr(3, 2)), nullptr, 16);
}

bool IsTextless(TokenType type) {
  return type == TokenType::kControl || type == TokenType::kUnknown;
}

// What a kind of file and its `pre` decide.
struct Plan {
  bool bytes = false;   // pieces start as bytes, tokens are spelled in the byte alphabet
  bool spaces = false;  // tokens have U+2581 for spaces
  bool byte_fallback = false;
  bool add_bos = false, add_eos = false, space_prefix = false;
  bool ignore_merges = false, whole_newline_runs = false;
  MatchOrder order = MatchOrder::kLongestFirst;
  std::vector<NormalizerStep> normalizers;
  std::vector<PreTokenizerStep> pre_tokenizers;
};

bool Prepends(const TextSteps& steps) {
  const auto normalizer = [](const NormalizerStep& step) {
    return step.kind == NormalizerStep::Kind::kPrepend;
  };
  const auto metaspace = [](const PreTokenizerStep& step) {
    return step.kind == PreTokenizerStep::Kind::kMetaspace &&
           step.prepend != PreTokenizerStep::Prepend::kNever;
  };
  return std::any_of(steps.normalizers.begin(), steps.normalizers.end(), normalizer) ||
         std::any_of(steps.pre_tokenizers.begin(), steps.pre_tokenizers.end(), metaspace);
}

absl::Status PlanByPre(const Vocabulary& vocabulary, Plan& plan,
                       std::vector<std::string>& warnings) {
  if (vocabulary.pre.empty()) {
    warnings.push_back(
        "the file doesn't say how texts are cut into pieces (tokenizer.ggml.pre is missing): "
        "\"default\" is used, and the answers may be worse; convert the model again");
  }
  const std::string name = vocabulary.pre.empty() ? "default" : vocabulary.pre;
  const PreTokenizer* pre = FindPreTokenizer(name);
  if (pre == nullptr) {
    return absl::UnimplementedError(absl::StrCat(
        "tokenizer.ggml.pre is \"", Printable(name), "\", which is not one of the ",
        AllPreTokenizers().size(),
        " that are known; use the model's tokenizer.json instead, or, where you know a kind that "
        "cuts texts in the same way (llama-bpe, qwen2, gpt-2, ...), write that into the file"));
  }
  plan.bytes = !pre->characters;
  plan.spaces = pre->escape_spaces;
  plan.byte_fallback = pre->characters;
  plan.add_bos = pre->add_bos;
  plan.ignore_merges = pre->ignore_merges;
  plan.whole_newline_runs = pre->whole_newline_runs;
  plan.pre_tokenizers = pre->steps;
  if (pre->escape_spaces) plan.normalizers.push_back(EscapeSpaces());
  return absl::OkStatus();
}

absl::StatusOr<Plan> MakePlan(const Vocabulary& vocabulary, std::vector<std::string>& warnings) {
  Plan plan;
  if (vocabulary.steps) {
    plan.order = MatchOrder::kLeftmostLongest;
    plan.bytes = vocabulary.kind == TokenizerKind::kByteLevelBpe;
    plan.spaces = plan.byte_fallback = !plan.bytes;
    plan.space_prefix = plan.spaces && Prepends(*vocabulary.steps);
    plan.normalizers = vocabulary.steps->normalizers;
    plan.pre_tokenizers = vocabulary.steps->pre_tokenizers;
  } else if (vocabulary.kind == TokenizerKind::kSentencePieceBpe) {
    plan.spaces = plan.byte_fallback = true;
    plan.add_bos = true;
    plan.space_prefix = vocabulary.add_space_prefix.value_or(true);
    if (plan.space_prefix) plan.normalizers.push_back(Prepend(" "));
    plan.normalizers.push_back(EscapeSpaces());
  } else {
    POTLUCK_RETURN_IF_ERROR(PlanByPre(vocabulary, plan, warnings));
  }
  plan.add_bos = vocabulary.add_bos.value_or(plan.add_bos);
  plan.add_eos = vocabulary.add_eos.value_or(plan.add_eos);
  plan.ignore_merges = vocabulary.ignore_merges.value_or(plan.ignore_merges);
  return plan;
}

// GGUF doesn't say which tokens take white space along; llama.cpp knows these by their names.
void StripAroundTokens(Vocabulary& vocabulary) {
  if (vocabulary.steps) return;
  const std::string name = absl::AsciiStrToLower(vocabulary.model_name);
  const auto strip_before = [&](absl::string_view text) {
    for (VocabularyToken& token : vocabulary.tokens) token.lstrip |= token.text == text;
  };
  if (absl::StrContains(vocabulary.pre, "jina-v2-")) {
    strip_before("<mask>");
  } else if (absl::StrContains(name, "phi-3") || absl::StrContains(name, "phi3")) {
    for (VocabularyToken& token : vocabulary.tokens) {
      const bool special = IsTextless(token.type) || token.type == TokenType::kUserDefined;
      const bool plain =
          token.text == "<unk>" || token.text == "<s>" || token.text == "<|endoftext|>";
      if (special || token.text == "</s>") token.rstrip = !plain;
    }
  } else if (absl::StrContains(name, "modern-bert")) {
    strip_before("[MASK]");
  }
}

// What `token` stands for in a text.
std::string BytesOf(const VocabularyToken& token, const Plan& plan) {
  if (IsTextless(token.type)) return "";
  if (token.type == TokenType::kByte) {
    const int byte = ByteOfSpelling(token.text);
    if (byte >= 0) return std::string(1, static_cast<char>(byte));
  }
  if (plan.bytes && token.type != TokenType::kUserDefined) {
    return BytesFromAlphabet(token.text).value_or(token.text);
  }
  return plan.spaces ? WithSpaces(token.text) : token.text;
}

// How `token` is spelled in a piece, or nothing where merges must not lead to it.
std::string PieceText(const VocabularyToken& token, const Plan& plan) {
  if (IsTextless(token.type) || token.type == TokenType::kByte) return "";
  if (!plan.bytes) return token.text;
  // User-defined tokens are spelled plainly, which is the byte alphabet only within ASCII.
  const bool plain = std::all_of(token.text.begin(), token.text.end(),
                                 [](char c) { return absl::ascii_isgraph(c); });
  if (token.type == TokenType::kUserDefined && !plain) return "";
  return BytesFromAlphabet(token.text).value_or("");
}

MergeModel MakeModel(const Vocabulary& vocabulary, const Plan& plan,
                     std::vector<std::string>& warnings) {
  MergeModel::Options options;
  options.by_score = vocabulary.kind == TokenizerKind::kSentencePieceBpe;
  options.bytes = plan.bytes;
  options.ignore_merges = plan.ignore_merges;
  options.whole_newline_runs = plan.whole_newline_runs;
  options.fuse_unknown = vocabulary.steps && vocabulary.steps->fuse_unknown;
  if (plan.spaces) options.space = kMetaspace;
  options.unknown = vocabulary.unknown;
  options.byte_tokens.fill(-1);
  std::vector<std::string> texts;
  std::vector<float> scores;
  absl::flat_hash_set<std::string> forbidden;
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const VocabularyToken& token = vocabulary.tokens[id];
    texts.push_back(PieceText(token, plan));
    scores.push_back(token.score);
    if (texts.back().empty() && token.type != TokenType::kUserDefined) {
      forbidden.insert(plan.bytes ? BytesFromAlphabet(token.text).value_or("") : token.text);
    }
    const bool fallback =
        plan.byte_fallback && (!vocabulary.steps || token.type == TokenType::kByte);
    int byte = fallback ? ByteOfSpelling(token.text) : -1;
    if (plan.bytes && texts.back().size() == 1) byte = static_cast<unsigned char>(texts.back()[0]);
    if (byte >= 0) options.byte_tokens[byte] = static_cast<TokenId>(id);
  }
  const auto missing = std::count(options.byte_tokens.begin(), options.byte_tokens.end(), -1);
  if (missing > 0) {
    warnings.push_back(absl::StrCat("the vocabulary has no tokens for ", missing,
                                    " of the 256 bytes: some texts cannot be written with it"));
  }
  std::vector<std::pair<std::string, std::string>> merges;
  for (const auto& [left, right] : vocabulary.merges) {
    auto pair = std::make_pair(left, right);
    if (plan.bytes) {
      const auto a = BytesFromAlphabet(left), b = BytesFromAlphabet(right);
      if (!a || !b) continue;
      pair = {*a, *b};
    }
    // A merge that leads to a control token would let a text spell it.
    if (!forbidden.contains(pair.first + pair.second)) merges.push_back(std::move(pair));
  }
  return MergeModel(options, texts, scores, merges);
}

// Of a text as given, that become one token; 0 where there is no saying.
size_t MostBytesPerToken(const Vocabulary& vocabulary, const Plan& plan, const MergeModel& model) {
  size_t shrinks = 1;
  for (const NormalizerStep& step : plan.normalizers) {
    if (step.kind == NormalizerStep::Kind::kPrepend) continue;
    if (step.kind != NormalizerStep::Kind::kReplace) {
      shrinks = kMostUnicodeShrinks;
    } else if (step.pattern != " " || step.content.empty()) {
      return 0;
    }
  }
  const bool removes = std::ranges::any_of(plan.pre_tokenizers, [](const PreTokenizerStep& step) {
    return step.behavior == SplitBehavior::kRemoved;
  });
  if (removes || !model.has_all_bytes()) return 0;
  size_t longest = 1;
  for (const VocabularyToken& token : vocabulary.tokens) {
    if (token.lstrip || token.rstrip) return 0;
    // As it is spelled: a text may have U+2581 itself.
    const bool letters =
        plan.bytes && !IsTextless(token.type) && token.type != TokenType::kUserDefined;
    longest = std::max(longest, letters ? BytesOf(token, plan).size() : token.text.size());
  }
  return longest * shrinks;
}

}  // namespace

struct Tokenizer::Parts {
  Vocabulary vocabulary;
  std::vector<std::string> warnings;
  bool space_prefix = false;
  size_t most_bytes_per_token = 0;  // 0: there is no saying
  std::vector<std::string> token_bytes;
  absl::flat_hash_map<absl::string_view, TokenId> by_text;
  std::vector<TokenId> before_text, after_text;
  std::optional<AddedTokenMatcher> given_matcher;       // in the text as given
  std::optional<AddedTokenMatcher> normalized_matcher;  // in the normalised text
  std::optional<TextPipeline> pipeline;
  std::optional<MergeModel> model;

  absl::Status MakeMatchers(const Plan& plan);
  void MakeSurroundings(const Plan& plan);
  absl::StatusOr<std::vector<TokenId>> Encode(std::string_view text,
                                              const std::vector<TrustedRange>& trusted,
                                              bool add_special) const;
  absl::Status EncodeFragment(std::string_view text, bool at_start, PatternMatcher& matcher,
                              MergeModel::Scratch& scratch, std::vector<TokenId>& ids) const;
  bool InRange(TokenId id) const {
    return id >= 0 && static_cast<size_t>(id) < vocabulary.tokens.size();
  }
};

absl::Status Tokenizer::Parts::MakeMatchers(const Plan& plan) {
  std::vector<AddedTokenMatcher::Token> given, normalized;
  PatternMatcher matcher(/*text_bytes=*/0);  // what every text has will do for these few
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const VocabularyToken& token = vocabulary.tokens[id];
    const bool control = IsTextless(token.type);
    if ((!control && token.type != TokenType::kUserDefined) || token.text.empty()) continue;
    AddedTokenMatcher::Token added{
        static_cast<TokenId>(id), token.text, control, token.lstrip, token.rstrip,
        token.single_word};
    // Trust is known for the text as given, so control tokens are looked for there in any case.
    if (control || !token.normalized) {
      given.push_back(std::move(added));
      continue;
    }
    TextPipeline::Storage storage;
    POTLUCK_ASSIGN_OR_RETURN(const std::vector<TextPart> parts,
                             pipeline->Normalize(token.text, matcher, storage));
    added.text.clear();
    for (const TextPart& part : parts) added.text += part.text;
    if (!added.text.empty()) normalized.push_back(std::move(added));
  }
  given_matcher.emplace(std::move(given), plan.order);
  normalized_matcher.emplace(std::move(normalized), plan.order);
  return absl::OkStatus();
}

void Tokenizer::Parts::MakeSurroundings(const Plan& plan) {
  if (vocabulary.steps) {
    before_text = vocabulary.steps->before_text;
    after_text = vocabulary.steps->after_text;
    return;
  }
  if (plan.add_bos && vocabulary.bos) before_text = {*vocabulary.bos};
  if (plan.add_eos && vocabulary.eos) after_text = {*vocabulary.eos};
  if (plan.add_bos && !vocabulary.bos) {
    warnings.push_back("texts should start with a bos token, but the vocabulary names none");
  }
}

Tokenizer::Tokenizer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Tokenizer::~Tokenizer() = default;

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Create(Vocabulary vocabulary) {
  if (vocabulary.tokens.empty()) {
    return absl::InvalidArgumentError("the vocabulary has no tokens");
  }
  if (vocabulary.tokens.size() > size_t{1} << 24) {
    return absl::InvalidArgumentError(
        absl::StrCat("the vocabulary has ", vocabulary.tokens.size(), " tokens; at most 2^24"));
  }
  auto parts = std::make_unique<Parts>();
  parts->vocabulary = std::move(vocabulary);
  Vocabulary& v = parts->vocabulary;
  for (size_t id = 0; id < v.tokens.size(); ++id) {
    if (v.tokens[id].text.empty()) v.tokens[id].text = absl::StrCat("[EMPTY_", id, "]");
  }
  CompleteSpecialTokens(v, parts->warnings);
  StripAroundTokens(v);
  POTLUCK_ASSIGN_OR_RETURN(const Plan plan, MakePlan(v, parts->warnings));
  parts->space_prefix = plan.space_prefix;
  POTLUCK_ASSIGN_OR_RETURN(TextPipeline pipeline,
                           TextPipeline::Create(plan.normalizers, plan.pre_tokenizers));
  parts->pipeline.emplace(std::move(pipeline));
  parts->model.emplace(MakeModel(v, plan, parts->warnings));
  parts->most_bytes_per_token = MostBytesPerToken(v, plan, *parts->model);
  for (size_t id = 0; id < v.tokens.size(); ++id) {
    parts->token_bytes.push_back(BytesOf(v.tokens[id], plan));
    parts->by_text.try_emplace(v.tokens[id].text, static_cast<TokenId>(id));
  }
  parts->MakeSurroundings(plan);
  POTLUCK_RETURN_IF_ERROR(parts->MakeMatchers(plan));
  return std::unique_ptr<Tokenizer>(new Tokenizer(std::move(parts)));
}

absl::Status Tokenizer::Parts::EncodeFragment(std::string_view text, bool at_start,
                                              PatternMatcher& matcher, MergeModel::Scratch& scratch,
                                              std::vector<TokenId>& ids) const {
  TextPipeline::Storage storage;
  POTLUCK_ASSIGN_OR_RETURN(std::vector<TextPart> parts,
                           pipeline->Normalize(text, matcher, storage));
  const auto encode = [&](std::vector<TextPart> normalized, bool starts) -> absl::Status {
    POTLUCK_ASSIGN_OR_RETURN(const std::vector<TextPart> pieces,
                             pipeline->Split(std::move(normalized), starts, matcher, storage));
    for (const TextPart& piece : pieces) model->Encode(piece.text, scratch, ids);
    return absl::OkStatus();
  };
  if (normalized_matcher->empty()) return encode(std::move(parts), at_start);
  std::vector<TextPart> run;  // up to the next token
  bool starts = at_start;
  for (const TextPart& part : parts) {
    if (!part.is_utf8) {
      run.push_back(part);
      continue;
    }
    for (const TextFragment& fragment : normalized_matcher->Split(part.text, {})) {
      if (fragment.id < 0) {
        run.push_back({fragment.text});
        continue;
      }
      POTLUCK_RETURN_IF_ERROR(encode(std::exchange(run, {}), starts));
      starts = false;
      ids.push_back(fragment.id);
    }
  }
  return encode(std::move(run), starts);
}

absl::StatusOr<std::vector<TokenId>> Tokenizer::Parts::Encode(
    std::string_view text, const std::vector<TrustedRange>& trusted, bool add_special) const {
  if (text.size() > kMaxTextBytes) {
    return absl::ResourceExhaustedError(absl::StrCat("a text of ", text.size(), " bytes; at most ",
                                                     kMaxTextBytes, " can be encoded at once"));
  }
  std::vector<TokenId> ids;
  if (add_special) ids = before_text;
  PatternMatcher matcher(text.size());
  MergeModel::Scratch scratch;
  for (const TextFragment& fragment : given_matcher->Split(text, trusted)) {
    if (fragment.id >= 0) {
      ids.push_back(fragment.id);
    } else {
      POTLUCK_RETURN_IF_ERROR(EncodeFragment(fragment.text, fragment.text.data() == text.data(),
                                             matcher, scratch, ids));
    }
  }
  if (add_special) ids.insert(ids.end(), after_text.begin(), after_text.end());
  return ids;
}

absl::StatusOr<std::vector<TokenId>> Tokenizer::Encode(std::string_view text,
                                                       const EncodeOptions& options) const {
  std::vector<TrustedRange> trusted;
  if (options.parse_control) trusted.push_back({0, text.size()});
  return parts_->Encode(text, trusted, options.add_special);
}

absl::StatusOr<std::vector<TokenId>> Tokenizer::Encode(const TextSpans& spans,
                                                       const EncodeOptions& options) const {
  std::string text;
  std::vector<TrustedRange> trusted;
  for (const TextSpan& span : spans) {
    const size_t begin = text.size();
    text += span.text;
    if (!span.trusted || span.text.empty()) continue;
    if (!trusted.empty() && trusted.back().end == begin) {
      trusted.back().end = text.size();
    } else {
      trusted.push_back({begin, text.size()});
    }
  }
  return parts_->Encode(text, trusted, options.add_special);
}

size_t Tokenizer::FewestIds(size_t text_bytes) const {
  return parts_->most_bytes_per_token == 0 ? 0 : text_bytes / parts_->most_bytes_per_token;
}

std::string Tokenizer::Decode(std::span<const TokenId> ids, const DecodeOptions& options) const {
  std::string text;
  bool strip = parts_->space_prefix && !options.continuation;
  for (const TokenId id : ids) {
    std::string_view bytes = TokenBytes(id);
    if (bytes.empty() && options.show_control && IsControl(id)) {
      text += TokenText(id);
      continue;
    }
    if (strip && !bytes.empty()) {
      if (bytes[0] == ' ') bytes.remove_prefix(1);
      strip = false;
    }
    text += bytes;
  }
  return text;
}

std::string_view Tokenizer::TokenBytes(TokenId id) const {
  return parts_->InRange(id) ? std::string_view(parts_->token_bytes[id]) : std::string_view();
}

std::string_view Tokenizer::AnswerBytes(TokenId id) const {
  const auto& marks = parts_->vocabulary.tool_marks;
  return std::ranges::find(marks, id) == marks.end() ? TokenBytes(id) : TokenText(id);
}

std::string_view Tokenizer::TokenText(TokenId id) const {
  return parts_->InRange(id) ? std::string_view(parts_->vocabulary.tokens[id].text)
                             : std::string_view();
}

std::optional<TokenId> Tokenizer::Find(std::string_view text) const {
  const auto found = parts_->by_text.find(ToAbsl(text));
  if (found == parts_->by_text.end()) return std::nullopt;
  return found->second;
}

size_t Tokenizer::vocab_size() const { return parts_->vocabulary.tokens.size(); }
std::optional<TokenId> Tokenizer::bos() const { return parts_->vocabulary.bos; }
std::optional<TokenId> Tokenizer::eos() const { return parts_->vocabulary.eos; }
std::optional<TokenId> Tokenizer::eot() const { return parts_->vocabulary.eot; }

bool Tokenizer::IsControl(TokenId id) const {
  return parts_->InRange(id) && parts_->vocabulary.tokens[id].type == TokenType::kControl;
}

const std::vector<TokenId>& Tokenizer::end_of_generation() const {
  return parts_->vocabulary.end_of_generation;
}

bool Tokenizer::IsEndOfGeneration(TokenId id) const {
  const auto& ends = end_of_generation();
  return std::binary_search(ends.begin(), ends.end(), id);
}

bool Tokenizer::adds_bos() const {
  const auto& before = parts_->before_text;
  return !before.empty() && parts_->vocabulary.bos == before.front();
}

bool Tokenizer::adds_space_prefix() const { return parts_->space_prefix; }
const std::vector<std::string>& Tokenizer::warnings() const { return parts_->warnings; }

}  // namespace potluck::model
