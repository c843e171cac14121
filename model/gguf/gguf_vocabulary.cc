#include "model/gguf/gguf_vocabulary.h"

#include <cmath>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace potluck::model {
namespace {

constexpr char kTokens[] = "tokenizer.ggml.tokens";
constexpr char kScores[] = "tokenizer.ggml.scores";
constexpr char kTypes[] = "tokenizer.ggml.token_type";
constexpr char kMerges[] = "tokenizer.ggml.merges";

absl::Status Invalid(std::string_view key, absl::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat("metadata key ", ToAbsl(key), " ", problem));
}

absl::Status CheckLength(std::string_view key, size_t have, size_t tokens) {
  if (have == tokens) return absl::OkStatus();
  return Invalid(key, absl::StrCat("has ", have, " elements where there are ", tokens, " tokens"));
}

absl::StatusOr<TokenizerKind> Kind(const GgufMetadata& metadata) {
  POTLUCK_ASSIGN_OR_RETURN(const std::string_view model, metadata.String("tokenizer.ggml.model"));
  if (model == "llama") return TokenizerKind::kSentencePieceBpe;
  if (model == "gpt2") return TokenizerKind::kByteLevelBpe;
  return absl::UnimplementedError(
      absl::StrCat("the vocabulary is of the kind \"", Printable(model),
                   "\" (tokenizer.ggml.model); supported are llama and gpt2"));
}

absl::Status ReadScores(const GgufMetadata& metadata, Vocabulary& vocabulary) {
  if (metadata.Find(kScores) == nullptr) return absl::OkStatus();
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<double> scores, metadata.Floats(kScores));
  POTLUCK_RETURN_IF_ERROR(CheckLength(kScores, scores.size(), vocabulary.tokens.size()));
  for (size_t i = 0; i < scores.size(); ++i) {
    if (!std::isfinite(scores[i])) {
      return Invalid(kScores, absl::StrCat("has ", scores[i], " for token ", i));
    }
    vocabulary.tokens[i].score = static_cast<float>(scores[i]);
  }
  return absl::OkStatus();
}

absl::Status ReadTypes(const GgufMetadata& metadata, Vocabulary& vocabulary) {
  if (metadata.Find(kTypes) == nullptr) return absl::OkStatus();
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<int64_t> types, metadata.Ints(kTypes));
  POTLUCK_RETURN_IF_ERROR(CheckLength(kTypes, types.size(), vocabulary.tokens.size()));
  for (size_t i = 0; i < types.size(); ++i) {
    if (types[i] < 0 || types[i] > static_cast<int64_t>(TokenType::kByte)) {
      return Invalid(kTypes,
                     absl::StrCat("has type ", types[i], " for token ", i, "; types are 1 to 6"));
    }
    // Old files have 0, "undefined", for ordinary tokens.
    vocabulary.tokens[i].type =
        types[i] == 0 ? TokenType::kNormal : static_cast<TokenType>(types[i]);
  }
  return absl::OkStatus();
}

absl::Status ReadMerges(const GgufMetadata& metadata, Vocabulary& vocabulary) {
  if (vocabulary.kind != TokenizerKind::kByteLevelBpe) return absl::OkStatus();
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<std::string_view> merges, metadata.Strings(kMerges));
  vocabulary.merges.reserve(merges.size());
  for (size_t i = 0; i < merges.size(); ++i) {
    // The left part may itself begin with a space.
    const size_t space = merges[i].find(' ', 1);
    if (space == std::string_view::npos || space + 1 == merges[i].size()) {
      return Invalid(kMerges, absl::StrCat("has no two parts in merge ", i, ", \"",
                                           Printable(merges[i], 40), "\""));
    }
    vocabulary.merges.emplace_back(merges[i].substr(0, space), merges[i].substr(space + 1));
  }
  return absl::OkStatus();
}

// An id that the file doesn't give is none. So is one beyond the vocabulary where `lenient`: files
// that name a padding token which they don't have are common and work everywhere.
absl::StatusOr<std::optional<TokenId>> ReadId(const GgufMetadata& metadata, std::string_view name,
                                              size_t num_tokens, bool lenient) {
  const std::string key = absl::StrCat("tokenizer.ggml.", ToAbsl(name), "_token_id");
  if (metadata.Find(key) == nullptr) return std::optional<TokenId>();
  POTLUCK_ASSIGN_OR_RETURN(const int64_t id, metadata.Int(key));
  constexpr int64_t kNone = 0xFFFFFFFF;  // -1, written as u32
  if (id == -1 || id == kNone) return std::optional<TokenId>();
  if (id < 0 || id >= static_cast<int64_t>(num_tokens)) {
    if (lenient) return std::optional<TokenId>();
    return Invalid(key, absl::StrCat("is ", id, " where there are ", num_tokens, " tokens"));
  }
  return std::optional<TokenId>(static_cast<TokenId>(id));
}

absl::Status ReadSpecialIds(const GgufMetadata& metadata, Vocabulary& vocabulary) {
  const size_t count = vocabulary.tokens.size();
  POTLUCK_ASSIGN_OR_RETURN(vocabulary.bos, ReadId(metadata, "bos", count, false));
  POTLUCK_ASSIGN_OR_RETURN(vocabulary.eos, ReadId(metadata, "eos", count, false));
  POTLUCK_ASSIGN_OR_RETURN(vocabulary.eot, ReadId(metadata, "eot", count, false));
  POTLUCK_ASSIGN_OR_RETURN(vocabulary.unknown, ReadId(metadata, "unknown", count, true));
  POTLUCK_ASSIGN_OR_RETURN(vocabulary.padding, ReadId(metadata, "padding", count, true));
  POTLUCK_ASSIGN_OR_RETURN(const std::optional<TokenId> eom, ReadId(metadata, "eom", count, true));
  if (eom) vocabulary.end_of_generation.push_back(*eom);
  return absl::OkStatus();
}

absl::Status ReadFlags(const GgufMetadata& metadata, Vocabulary& vocabulary) {
  const std::pair<const char*, std::optional<bool>*> flags[] = {
      {"tokenizer.ggml.add_bos_token", &vocabulary.add_bos},
      {"tokenizer.ggml.add_eos_token", &vocabulary.add_eos},
      {"tokenizer.ggml.add_space_prefix", &vocabulary.add_space_prefix},
      {"tokenizer.ggml.remove_extra_whitespaces", &vocabulary.remove_extra_whitespaces},
  };
  for (const auto& [key, flag] : flags) {
    if (metadata.Find(key) == nullptr) continue;
    POTLUCK_ASSIGN_OR_RETURN(*flag, metadata.Bool(key));
  }
  return absl::OkStatus();
}

absl::StatusOr<Vocabulary> ReadVocabulary(const GgufMetadata& metadata) {
  Vocabulary vocabulary;
  POTLUCK_ASSIGN_OR_RETURN(vocabulary.kind, Kind(metadata));
  if (metadata.Find("tokenizer.ggml.pre") != nullptr) {
    POTLUCK_ASSIGN_OR_RETURN(vocabulary.pre, metadata.String("tokenizer.ggml.pre"));
  }
  if (metadata.Find("general.name") != nullptr) {
    POTLUCK_ASSIGN_OR_RETURN(vocabulary.model_name, metadata.String("general.name"));
  }
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<std::string_view> tokens, metadata.Strings(kTokens));
  if (tokens.empty()) return Invalid(kTokens, "is empty: the file has no vocabulary");
  vocabulary.tokens.resize(tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) vocabulary.tokens[i].text = tokens[i];
  POTLUCK_RETURN_IF_ERROR(ReadScores(metadata, vocabulary));
  POTLUCK_RETURN_IF_ERROR(ReadTypes(metadata, vocabulary));
  POTLUCK_RETURN_IF_ERROR(ReadMerges(metadata, vocabulary));
  POTLUCK_RETURN_IF_ERROR(ReadSpecialIds(metadata, vocabulary));
  POTLUCK_RETURN_IF_ERROR(ReadFlags(metadata, vocabulary));
  return vocabulary;
}

std::optional<float> ReadFloat(const GgufMetadata& metadata, std::string_view key, double min,
                               double max) {
  const absl::StatusOr<double> value = metadata.Float(key);
  if (!value.ok() || !(*value >= min && *value <= max)) return std::nullopt;
  return static_cast<float>(*value);
}

}  // namespace

absl::StatusOr<Vocabulary> VocabularyFromGguf(const GgufFile& file) {
  absl::StatusOr<Vocabulary> vocabulary = ReadVocabulary(file.metadata());
  if (!vocabulary.ok()) return Annotate(vocabulary.status(), file.path());
  return vocabulary;
}

std::optional<std::string> ChatTemplateFromGguf(const GgufFile& file) {
  const absl::StatusOr<std::string_view> text = file.metadata().String("tokenizer.chat_template");
  if (!text.ok() || text->empty()) return std::nullopt;
  return std::string(*text);
}

SamplingDefaults SamplingDefaultsFromGguf(const GgufFile& file) {
  const GgufMetadata& metadata = file.metadata();
  SamplingDefaults defaults;
  defaults.temperature = ReadFloat(metadata, "general.sampling.temp", 0, 100);
  defaults.top_p = ReadFloat(metadata, "general.sampling.top_p", 1e-6, 1);
  defaults.min_p = ReadFloat(metadata, "general.sampling.min_p", 0, 1);
  defaults.repeat_penalty = ReadFloat(metadata, "general.sampling.penalty_repeat", 1e-3, 100);
  const absl::StatusOr<int64_t> top_k = metadata.Int("general.sampling.top_k");
  if (top_k.ok() && *top_k >= 0 && *top_k <= 1 << 30) defaults.top_k = static_cast<int>(*top_k);
  const GgufValue* tokens = metadata.Find(kTokens);
  const size_t count = tokens == nullptr ? 0 : tokens->count();
  for (const char* name : {"eos", "eot", "eom"}) {
    const absl::StatusOr<std::optional<TokenId>> id = ReadId(metadata, name, count, true);
    if (id.ok() && id->has_value()) defaults.end_tokens.push_back(**id);
  }
  return defaults;
}

}  // namespace potluck::model
