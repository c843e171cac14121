#include "model/tokenizer/text_pipeline.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace potluck::model {
namespace {

constexpr std::string_view kMetaspace = "\u2581";

// A stretch of a piece, and whether the pattern matched it.
struct Stretch {
  size_t begin, end;
  bool matched;
};

size_t NextCharacter(std::string_view text, size_t at) {
  return at + std::max(1, DecodeUtf8(text.substr(at)));
}

// All of `text` as stretches, matched and not. An empty match only cuts.
absl::StatusOr<std::vector<Stretch>> Stretches(const Pattern& pattern, std::string_view text,
                                               PatternMatcher& matcher) {
  std::vector<Stretch> stretches;
  size_t done = 0;
  const auto add = [&](size_t begin, size_t end, bool matched) {
    if (begin < end) stretches.push_back({begin, end, matched});
  };
  for (size_t from = 0; from < text.size();) {
    POTLUCK_ASSIGN_OR_RETURN(const auto match, matcher.Find(pattern, text, from));
    if (!match) break;
    // A look-behind may let a match begin before the search did; what is done stays done.
    const size_t begin = std::max(match->begin, done);
    const size_t end = std::max(match->end, begin);
    add(done, begin, false);
    add(begin, end, true);
    done = end;
    from = end > from && match->begin < match->end ? end : NextCharacter(text, std::max(from, end));
  }
  add(done, text.size(), false);
  return stretches;
}

// Joins stretches as `behavior` says and appends the pieces.
void AppendPieces(std::string_view text, const std::vector<Stretch>& stretches,
                  SplitBehavior behavior, std::vector<TextPart>& out) {
  size_t begin = 0;  // of the piece being gathered
  size_t end = 0;
  const auto flush = [&] {
    if (begin < end) out.push_back({text.substr(begin, end - begin)});
  };
  const Stretch* previous = nullptr;
  for (const Stretch& stretch : stretches) {
    bool joins = false;
    switch (behavior) {
      case SplitBehavior::kIsolated:
        break;
      case SplitBehavior::kRemoved:
        if (stretch.matched) {
          flush();
          begin = end = stretch.end;
          previous = &stretch;
          continue;
        }
        break;
      case SplitBehavior::kMergedWithPrevious:
        joins = stretch.matched && previous != nullptr && !previous->matched;
        break;
      case SplitBehavior::kMergedWithNext:
        joins = !stretch.matched && previous != nullptr && previous->matched;
        break;
      case SplitBehavior::kContiguous:
        joins = previous != nullptr && previous->matched == stretch.matched;
        break;
    }
    if (!joins) {
      flush();
      begin = stretch.begin;
    }
    end = stretch.end;
    previous = &stretch;
  }
  flush();
}

bool IsNumber(char32_t c) {
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL ||
         category == UTF8PROC_CATEGORY_NO;
}

// Runs of digits cut into threes counted from their end. `borders`: 0-9 are digits, and each whole
// three begins with a cut. Otherwise any \p{N} is a digit, and each group and so the run ends with
// a cut; what stands before the run stays with its first group.
void AppendDigitGroups(std::string_view text, bool borders, std::vector<TextPart>& out) {
  size_t piece = 0;
  const auto cut = [&](size_t at) {
    if (piece < at) out.push_back({text.substr(piece, at - piece)});
    piece = at;
  };
  for (size_t at = 0; at < text.size();) {
    std::vector<size_t> digits;
    while (at < text.size()) {
      char32_t c = 0;
      const int length = DecodeUtf8(text.substr(at), &c);
      if (borders ? (c < '0' || c > '9') : !IsNumber(c)) break;
      digits.push_back(at);
      at += length;
    }
    if (digits.empty()) {
      at = NextCharacter(text, at);
      continue;
    }
    for (size_t i = digits.size() % 3; i < digits.size(); i += 3) {
      if (borders || i > 0) cut(digits[i]);
    }
    if (!borders) cut(at);
  }
  cut(text.size());
}

// `text` with long runs of combining marks in their canonical order. utf8proc sorts such a run by
// insertion; a text of nothing else, in the worst order, would hold it for minutes.
std::string WithMarksSorted(std::string_view text) {
  constexpr size_t kLongRun = 32;
  struct Mark {
    std::string_view bytes;
    int combining_class;
  };
  std::string out;
  std::vector<Mark> run;
  const auto flush = [&] {
    if (run.size() > kLongRun) {
      std::stable_sort(run.begin(), run.end(), [](const Mark& a, const Mark& b) {
        return a.combining_class < b.combining_class;
      });
    }
    for (const Mark& mark : run) out += mark.bytes;
    run.clear();
  };
  while (!text.empty()) {
    char32_t c = 0;
    const int length = DecodeUtf8(text, &c);
    const int combining_class =
        c < 0x300 ? 0 : utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class;
    if (combining_class == 0) {
      flush();
      out += text.substr(0, length);
    } else {
      run.push_back({text.substr(0, length), combining_class});
    }
    text.remove_prefix(length);
  }
  flush();
  return out;
}

absl::StatusOr<std::string> Normalized(std::string_view given, NormalizerStep::Kind kind) {
  const bool ascii = std::all_of(given.begin(), given.end(),
                                 [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  if (ascii) return std::string(given);
  const std::string text = WithMarksSorted(given);
  const bool compose = kind == NormalizerStep::Kind::kNfc || kind == NormalizerStep::Kind::kNfkc;
  const bool compatible =
      kind == NormalizerStep::Kind::kNfkc || kind == NormalizerStep::Kind::kNfkd;
  int options = UTF8PROC_STABLE | (compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE);
  if (compatible) options |= UTF8PROC_COMPAT;
  utf8proc_uint8_t* result = nullptr;
  const utf8proc_ssize_t size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                             static_cast<utf8proc_ssize_t>(text.size()), &result,
                                             static_cast<utf8proc_option_t>(options));
  if (size < 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("Unicode normalisation failed: ", utf8proc_errmsg(size)));
  }
  std::string normalized(reinterpret_cast<const char*>(result), size);
  std::free(result);
  return normalized;
}

absl::StatusOr<std::string> Replaced(const Pattern& pattern, std::string_view text,
                                     std::string_view content, PatternMatcher& matcher) {
  std::string out;
  size_t done = 0;
  for (size_t from = 0; from <= text.size();) {
    POTLUCK_ASSIGN_OR_RETURN(const auto match, matcher.Find(pattern, text, from));
    if (!match) break;
    const size_t begin = std::max(match->begin, done);
    const size_t end = std::max(match->end, begin);
    absl::StrAppend(&out, ToAbsl(text.substr(done, begin - done)), ToAbsl(content));
    done = end;
    from = match->begin < match->end && end > from ? end : std::max(from, end) + 1;
    while (from < text.size() && (text[from] & 0xC0) == 0x80) ++from;
  }
  absl::StrAppend(&out, ToAbsl(text.substr(done)));
  return out;
}

// Metaspace: spaces become U+2581, and one goes in front.
std::string WithMetaspaces(std::string_view text, bool prepend) {
  std::string out;
  const bool has_one = !text.empty() && (text[0] == ' ' || text.substr(0, 3) == kMetaspace);
  if (prepend && !has_one) out = kMetaspace;
  for (const char c : text) c == ' ' ? void(out += kMetaspace) : out.push_back(c);
  return out;
}

}  // namespace

std::vector<TextPart> PartsByValidity(std::string_view text) {
  std::vector<TextPart> parts;
  size_t begin = 0;
  bool is_utf8 = true;
  for (size_t at = 0; at < text.size();) {
    const int length = DecodeUtf8(text.substr(at));
    if ((length > 0) != is_utf8) {
      if (begin < at) parts.push_back({text.substr(begin, at - begin), is_utf8});
      begin = at;
      is_utf8 = !is_utf8;
    }
    at += std::max(1, length);
  }
  if (begin < text.size()) parts.push_back({text.substr(begin), is_utf8});
  return parts;
}

absl::StatusOr<TextPipeline> TextPipeline::Create(
    const std::vector<NormalizerStep>& normalizers,
    const std::vector<PreTokenizerStep>& pre_tokenizers) {
  TextPipeline pipeline;
  const auto compile = [](const std::string& pattern, size_t number, absl::string_view what,
                          std::vector<Pattern>& out) {
    auto compiled = Pattern::Compile(pattern);
    if (!compiled.ok()) {
      return Annotate(compiled.status(), absl::StrCat(what, " step ", number + 1));
    }
    out.push_back(*std::move(compiled));
    return absl::OkStatus();
  };
  for (const NormalizerStep& step : normalizers) {
    Normalizer& added = pipeline.normalizers_.emplace_back(Normalizer{step, {}});
    if (step.kind == NormalizerStep::Kind::kReplace) {
      POTLUCK_RETURN_IF_ERROR(
          compile(step.pattern, pipeline.normalizers_.size() - 1, "normaliser", added.pattern));
    }
  }
  for (const PreTokenizerStep& step : pre_tokenizers) {
    PreTokenizer& added = pipeline.pre_tokenizers_.emplace_back(PreTokenizer{step, {}});
    if (step.kind == PreTokenizerStep::Kind::kSplit) {
      POTLUCK_RETURN_IF_ERROR(compile(step.pattern, pipeline.pre_tokenizers_.size() - 1,
                                      "pre-tokeniser", added.pattern));
    }
  }
  return pipeline;
}

absl::StatusOr<std::vector<TextPart>> TextPipeline::Normalize(std::string_view text,
                                                              PatternMatcher& matcher,
                                                              Storage& storage) const {
  std::vector<TextPart> parts = PartsByValidity(text);
  for (const Normalizer& normalizer : normalizers_) {
    const NormalizerStep& step = normalizer.step;
    if (step.kind == NormalizerStep::Kind::kPrepend) {
      if (parts.empty()) continue;
      if (!parts.front().is_utf8) parts.insert(parts.begin(), TextPart{""});
      storage.push_back(absl::StrCat(step.content, ToAbsl(parts.front().text)));
      parts.front().text = storage.back();
      continue;
    }
    for (TextPart& part : parts) {
      if (!part.is_utf8) continue;
      if (step.kind == NormalizerStep::Kind::kReplace) {
        POTLUCK_ASSIGN_OR_RETURN(std::string text_now,
                                 Replaced(normalizer.pattern[0], part.text, step.content, matcher));
        storage.push_back(std::move(text_now));
      } else {
        POTLUCK_ASSIGN_OR_RETURN(std::string text_now, Normalized(part.text, step.kind));
        storage.push_back(std::move(text_now));
      }
      part.text = storage.back();
    }
  }
  return parts;
}

absl::StatusOr<std::vector<TextPart>> TextPipeline::Split(std::vector<TextPart> parts,
                                                          bool at_start, PatternMatcher& matcher,
                                                          Storage& storage) const {
  using Kind = PreTokenizerStep::Kind;
  using Prepend = PreTokenizerStep::Prepend;
  for (const PreTokenizer& pre_tokenizer : pre_tokenizers_) {
    const PreTokenizerStep& step = pre_tokenizer.step;
    std::vector<TextPart> next;
    for (size_t i = 0; i < parts.size(); ++i) {
      const TextPart& part = parts[i];
      if (!part.is_utf8) {
        next.push_back(part);
        continue;
      }
      // After bytes that are no text there is no start of a text.
      const bool may_prepend = i == 0 || parts[i - 1].is_utf8;
      switch (step.kind) {
        case Kind::kSplit: {
          POTLUCK_ASSIGN_OR_RETURN(std::vector<Stretch> stretches,
                                   Stretches(pre_tokenizer.pattern[0], part.text, matcher));
          if (step.invert) {
            for (Stretch& stretch : stretches) stretch.matched = !stretch.matched;
          }
          AppendPieces(part.text, stretches, step.behavior, next);
          break;
        }
        case Kind::kPrefixSpace:
          if (may_prepend && part.text.substr(0, 1) != " ") {
            storage.push_back(absl::StrCat(" ", ToAbsl(part.text)));
            next.push_back({storage.back()});
          } else {
            next.push_back(part);
          }
          break;
        case Kind::kMetaspace:
          storage.push_back(WithMetaspaces(
              part.text, may_prepend && (step.prepend == Prepend::kAlways ||
                                         (step.prepend == Prepend::kFirst && at_start && i == 0))));
          next.push_back({storage.back()});
          break;
        case Kind::kDigitGroups:
        case Kind::kDigitBorders:
          AppendDigitGroups(part.text, step.kind == Kind::kDigitBorders, next);
          break;
      }
    }
    parts = std::move(next);
  }
  return parts;
}

}  // namespace potluck::model
