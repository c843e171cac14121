#include "model/tokenizer/tokenizer_json.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "model/bounded_json.h"
#include "model/tokenizer/tokenizer_json_steps.h"

namespace potluck::model {
namespace {

// Ids may leave gaps, but not so many that a few bytes of JSON ask for gigabytes.
constexpr size_t kMaxGaps = 1 << 16;

absl::Status Invalid(absl::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat("tokenizer.json: ", problem));
}

bool IsByteSpelling(std::string_view text) {
  return text.size() == 6 && text.substr(0, 3) == "<0x" && text[5] == '>' &&
         absl::ascii_isxdigit(text[3]) && absl::ascii_isxdigit(text[4]);
}

class Reader {
 public:
  explicit Reader(const Json& root) : root_(root) {}

  absl::StatusOr<Vocabulary> Read(const Json& config);

 private:
  absl::Status CheckModel();
  absl::Status ReadVocab();
  absl::Status ReadAddedTokens();
  absl::Status ReadMerges();
  absl::Status ReadConfig(const Json& config);
  absl::Status CheckSteps() const;
  absl::Status AddToken(std::string_view text, const Json* id_value, VocabularyToken token);
  std::optional<TokenId> Named(const Json& config, const char* key) const;

  const Json& root_;
  const Json* model_ = nullptr;
  size_t max_tokens_ = 0;
  Vocabulary vocabulary_;
  absl::flat_hash_map<std::string, TokenId> ids_;
};

absl::Status Reader::CheckModel() {
  model_ = FindKey(root_, "model");
  if (model_ == nullptr || !model_->is_object()) return Invalid("there is no model");
  // Files older than the field are BPE where they have merges.
  const std::string type = StringValue(FindKey(*model_, "type"))
                               .value_or(FindKey(*model_, "merges") == nullptr ? "" : "BPE");
  if (type != "BPE") {
    return absl::UnimplementedError(
        absl::StrCat("tokenizer.json: the model is \"", Printable(type), "\"; supported is BPE"));
  }
  if (NumberValue(FindKey(*model_, "dropout")).value_or(0) != 0) {
    return absl::UnimplementedError("tokenizer.json: BPE with dropout is not supported");
  }
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!StringValue(FindKey(*model_, key)).value_or("").empty()) {
      return absl::UnimplementedError(
          absl::StrCat("tokenizer.json: BPE with ", key, " is not supported"));
    }
  }
  return absl::OkStatus();
}

absl::Status Reader::AddToken(std::string_view text, const Json* id_value, VocabularyToken token) {
  const auto id = IntValue(id_value);
  if (!id || *id < 0 || *id >= static_cast<int64_t>(max_tokens_)) {
    return Invalid(absl::StrCat("token \"", Printable(text, 40),
                                "\" has no id, or one far beyond the number of tokens"));
  }
  if (static_cast<size_t>(*id) >= vocabulary_.tokens.size()) {
    VocabularyToken unused;
    unused.type = TokenType::kUnused;
    vocabulary_.tokens.resize(*id + 1, unused);
  }
  token.text = text;
  vocabulary_.tokens[*id] = std::move(token);
  ids_.insert_or_assign(std::string(text), static_cast<TokenId>(*id));
  return absl::OkStatus();
}

absl::Status Reader::ReadVocab() {
  const Json* vocab = FindKey(*model_, "vocab");
  if (vocab == nullptr || !vocab->is_object() || vocab->empty()) {
    return Invalid("the model has no vocab");
  }
  const Json* added = FindKey(root_, "added_tokens");
  max_tokens_ = vocab->size() + (added == nullptr ? 0 : added->size()) + kMaxGaps;
  const bool byte_fallback = BoolValue(FindKey(*model_, "byte_fallback")).value_or(false);
  for (const auto& [text, id] : vocab->items()) {
    VocabularyToken token;
    if (byte_fallback && IsByteSpelling(text)) token.type = TokenType::kByte;
    POTLUCK_RETURN_IF_ERROR(AddToken(text, &id, std::move(token)));
  }
  if (ids_.size() != vocab->size() ||
      static_cast<size_t>(std::count_if(
          vocabulary_.tokens.begin(), vocabulary_.tokens.end(),
          [](const VocabularyToken& t) { return t.type != TokenType::kUnused; })) != ids_.size()) {
    return Invalid("two tokens of the vocab have the same id");
  }
  if (const auto unknown = StringValue(FindKey(*model_, "unk_token"))) {
    const auto found = ids_.find(*unknown);
    if (found != ids_.end()) vocabulary_.unknown = found->second;
  }
  return absl::OkStatus();
}

absl::Status Reader::ReadAddedTokens() {
  const Json* added = FindKey(root_, "added_tokens");
  if (added == nullptr) return absl::OkStatus();
  if (!added->is_array()) return Invalid("added_tokens is no list");
  for (const Json& each : *added) {
    const auto content = StringValue(FindKey(each, "content"));
    if (!content || content->empty()) return Invalid("an added token has no content");
    const auto flag = [&](const char* key, bool fallback) {
      return BoolValue(FindKey(each, key)).value_or(fallback);
    };
    VocabularyToken token;
    const bool special = flag("special", false);
    token.type = special ? TokenType::kControl : TokenType::kUserDefined;
    token.lstrip = flag("lstrip", false);
    token.rstrip = flag("rstrip", false);
    token.single_word = flag("single_word", false);
    token.normalized = flag("normalized", !special);
    POTLUCK_RETURN_IF_ERROR(AddToken(*content, FindKey(each, "id"), std::move(token)));
  }
  return absl::OkStatus();
}

// Each is "a b" or ["a", "b"].
absl::Status Reader::ReadMerges() {
  const Json* merges = FindKey(*model_, "merges");
  if (merges == nullptr || !merges->is_array()) return Invalid("the model has no merges");
  vocabulary_.merges.reserve(merges->size());
  for (size_t i = 0; i < merges->size(); ++i) {
    const Json& merge = (*merges)[i];
    std::string left, right;
    if (merge.is_string()) {
      const auto& text = merge.get_ref<const std::string&>();
      const size_t space = text.find(' ');
      if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos) {
        left = text.substr(0, space);
        right = text.substr(space + 1);
      }
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      left = merge[0].get<std::string>();
      right = merge[1].get<std::string>();
    }
    if (left.empty() || right.empty()) {
      return Invalid(absl::StrCat("merge ", i, " is no pair of tokens"));
    }
    for (const std::string& part : {left, right, left + right}) {
      if (!ids_.contains(part)) {
        return Invalid(absl::StrCat("merge ", i, " needs the token \"", Printable(part, 40),
                                    "\", which the vocab doesn't have"));
      }
    }
    vocabulary_.merges.emplace_back(std::move(left), std::move(right));
  }
  return absl::OkStatus();
}

// "bos_token": "<s>" or {"content": "<s>", ...}
std::optional<TokenId> Reader::Named(const Json& config, const char* key) const {
  const Json* value = FindKey(config, key);
  if (value == nullptr) return std::nullopt;
  const auto name = StringValue(value->is_object() ? FindKey(*value, "content") : value);
  if (!name) return std::nullopt;
  const auto found = ids_.find(*name);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

absl::Status Reader::ReadConfig(const Json& config) {
  vocabulary_.bos = Named(config, "bos_token");
  vocabulary_.eos = Named(config, "eos_token");
  vocabulary_.padding = Named(config, "pad_token");
  if (!vocabulary_.unknown) vocabulary_.unknown = Named(config, "unk_token");
  auto& before = vocabulary_.steps->before_text;
  auto& after = vocabulary_.steps->after_text;
  if (!vocabulary_.bos && before.size() == 1) vocabulary_.bos = before[0];
  // Where the configuration says it, it overrules the post-processor.
  if (const auto add = BoolValue(FindKey(config, "add_bos_token")); add && vocabulary_.bos) {
    const bool there = !before.empty() && before.front() == *vocabulary_.bos;
    if (*add && !there) before.insert(before.begin(), *vocabulary_.bos);
    if (!*add && there) before.erase(before.begin());
  }
  if (const auto add = BoolValue(FindKey(config, "add_eos_token")); add && vocabulary_.eos) {
    const bool there = !after.empty() && after.back() == *vocabulary_.eos;
    if (*add && !there) after.push_back(*vocabulary_.eos);
    if (!*add && there) after.pop_back();
  }
  return absl::OkStatus();
}

absl::Status Reader::CheckSteps() const {
  for (const auto* list : {&vocabulary_.steps->before_text, &vocabulary_.steps->after_text}) {
    for (const TokenId id : *list) {
      if (static_cast<size_t>(id) >= vocabulary_.tokens.size()) {
        return Invalid(absl::StrCat("the post-processor adds token ", id, " where there are ",
                                    vocabulary_.tokens.size()));
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Vocabulary> Reader::Read(const Json& config) {
  POTLUCK_RETURN_IF_ERROR(CheckModel());
  TextSteps steps;
  bool byte_level = false;
  POTLUCK_RETURN_IF_ERROR(ReadTextSteps(root_, steps, byte_level));
  steps.fuse_unknown = BoolValue(FindKey(*model_, "fuse_unk")).value_or(false);
  vocabulary_.kind = byte_level ? TokenizerKind::kByteLevelBpe : TokenizerKind::kCharacterBpe;
  vocabulary_.ignore_merges = BoolValue(FindKey(*model_, "ignore_merges")).value_or(false);
  vocabulary_.steps = std::move(steps);
  POTLUCK_RETURN_IF_ERROR(ReadVocab());
  POTLUCK_RETURN_IF_ERROR(ReadMerges());
  POTLUCK_RETURN_IF_ERROR(ReadAddedTokens());
  POTLUCK_RETURN_IF_ERROR(ReadConfig(config));
  POTLUCK_RETURN_IF_ERROR(CheckSteps());
  return std::move(vocabulary_);
}

}  // namespace

absl::StatusOr<Vocabulary> VocabularyFromTokenizerJson(std::string_view tokenizer_json,
                                                       std::string_view tokenizer_config_json) {
  if (tokenizer_json.size() > kMaxTokenizerJsonBytes) {
    return Invalid(
        absl::StrCat("it has ", tokenizer_json.size(), " bytes; at most ", kMaxTokenizerJsonBytes));
  }
  auto root = ParseBoundedJson(tokenizer_json);
  if (!root.ok()) return Annotate(root.status(), "tokenizer.json");
  Json config = Json::object();
  if (!tokenizer_config_json.empty()) {
    auto parsed = ParseBoundedJson(tokenizer_config_json);
    if (!parsed.ok()) return Annotate(parsed.status(), "tokenizer_config.json");
    config = *std::move(parsed);
  }
  return Reader(*root).Read(config);
}

}  // namespace potluck::model
