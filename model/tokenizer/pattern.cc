#include "model/tokenizer/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/text.h"

namespace potluck::model {
namespace {

// Unicode's White_Space. PCRE2's own \s has U+180E besides, which left White_Space in Unicode 6.3.
constexpr std::string_view kWhiteSpace =
    R"(\t-\r\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

constexpr size_t kMaxPatternBytes = 64 << 10;
// Of one match: what comes free, and what it may take if the text's budget allows for it.
constexpr uint64_t kFreeSteps = 16 << 10;
constexpr uint64_t kMaxSteps = 1'000'000;  // and 16 per byte that is in sight
// Of all matches in a text, counted in bytes looked at or steps, whichever a match is bounded by. A
// sane pattern needs some hundreds per byte, mostly because a window counts whole.
constexpr uint64_t kMaxWork = uint64_t{1} << 31;
constexpr uint64_t kMaxWorkPerByte = 8 << 10;
// How far beyond its start a match sees at first.
constexpr size_t kWindowBytes = 256;
constexpr uint32_t kMatchHeapKibibytes = 512 << 10;  // the interpreter's backtracking
constexpr size_t kJitStackBytes = 32 << 20;

// An equal pattern that is read in one pass: every start inside a run of spaces would scan the
// whole run again.
constexpr std::string_view kTrailingSpaces = R"(\s+$)";
constexpr std::string_view kTrailingSpacesOnce = R"((?<!\s)\s++$)";

// Spells \s and \S out, and refuses what PCRE2 would read differently.
absl::StatusOr<std::string> SpellOut(std::string_view pattern) {
  std::string out;
  bool in_set = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char next = pattern[++i];
      if (next == 's') {
        absl::StrAppend(&out, in_set ? "" : "[", ToAbsl(kWhiteSpace), in_set ? "" : "]");
      } else if (next == 'S' && !in_set) {
        absl::StrAppend(&out, "[^", ToAbsl(kWhiteSpace), "]");
      } else if (next == 'G') {
        return absl::UnimplementedError(
            absl::StrCat("the pattern uses \\G, which is not supported: ", Printable(pattern)));
      } else {
        out += {c, next};
      }
      continue;
    }
    out += c;
    if (!in_set && c == '[') {
      in_set = true;
      if (i + 1 < pattern.size() && pattern[i + 1] == '^') out += pattern[++i];
      if (i + 1 < pattern.size() && pattern[i + 1] == ']') out += pattern[++i];
    } else if (in_set && c == ']') {
      in_set = false;
    } else if (in_set && (c == '[' || pattern.substr(i, 2) == "&&")) {
      return absl::UnimplementedError(absl::StrCat(
          "the pattern uses a set inside a set, which is not supported: ", Printable(pattern)));
    }
  }
  return out;
}

}  // namespace

void Pattern::FreeCode::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }
Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;
Pattern::~Pattern() = default;

absl::StatusOr<Pattern> Pattern::Compile(std::string_view regular_expression) {
  if (regular_expression.size() > kMaxPatternBytes) {
    return absl::InvalidArgumentError(absl::StrCat("a pattern of ", regular_expression.size(),
                                                   " bytes; at most ", kMaxPatternBytes));
  }
  const std::string_view source =
      regular_expression == kTrailingSpaces ? kTrailingSpacesOnce : regular_expression;
  auto spelled = SpellOut(source);
  if (!spelled.ok()) return spelled.status();
  pcre2_compile_context* context = pcre2_compile_context_create(nullptr);
  POTLUCK_CHECK(context != nullptr);
  pcre2_set_newline(context, PCRE2_NEWLINE_LF);
  int error = 0;
  size_t offset = 0;
  pcre2_code* code = pcre2_compile(
      reinterpret_cast<PCRE2_SPTR>(spelled->data()), spelled->size(),
      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C | PCRE2_USE_OFFSET_LIMIT,
      &error, &offset, context);
  pcre2_compile_context_free(context);
  if (code == nullptr) {
    unsigned char words[128] = {};
    pcre2_get_error_message(error, words, sizeof(words));
    return absl::InvalidArgumentError(
        absl::StrCat("the pattern ", Printable(regular_expression),
                     " cannot be read: ", reinterpret_cast<const char*>(words)));
  }
  // Where the machine has no just-in-time compiler, matching works without, only slower.
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);
  return Pattern(code);
}

std::string QuotePattern(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       static_cast<unsigned char>(c) >= 0x80 ||
                       static_cast<unsigned char>(c) < 0x20;
    if (!plain) out += '\\';
    out += c;
  }
  return out;
}

PatternMatcher::PatternMatcher(size_t text_bytes)
    : work_left_(kMaxWork + kMaxWorkPerByte * text_bytes),
      data_(pcre2_match_data_create(1, nullptr)),
      context_(pcre2_match_context_create(nullptr)),
      jit_stack_(pcre2_jit_stack_create(64 << 10, kJitStackBytes, nullptr)) {
  POTLUCK_CHECK(data_ != nullptr && context_ != nullptr);
  pcre2_set_heap_limit(context_, kMatchHeapKibibytes);
  if (jit_stack_ != nullptr) pcre2_jit_stack_assign(context_, nullptr, jit_stack_);
}

PatternMatcher::~PatternMatcher() {
  if (jit_stack_ != nullptr) pcre2_jit_stack_free(jit_stack_);
  pcre2_match_context_free(context_);
  pcre2_match_data_free(data_);
}

int PatternMatcher::TryMatch(const Pattern& pattern, std::string_view subject, size_t from,
                             uint32_t options) {
  const auto* text = reinterpret_cast<PCRE2_SPTR>(subject.data());
  const auto match = [&](uint64_t steps, uint32_t more) {
    pcre2_set_match_limit(context_, static_cast<uint32_t>(std::min<uint64_t>(steps, UINT32_MAX)));
    return pcre2_match(pattern.code_.get(), text, subject.size(), from,
                       options | more | PCRE2_NO_UTF_CHECK, data_, context_);
  };
  const uint64_t max_steps = kMaxSteps + 16 * (subject.size() - from);
  int found = match(kFreeSteps, 0);
  if (found == PCRE2_ERROR_MATCHLIMIT) {
    Charge(max_steps);
    found = match(max_steps, 0);
  }
  return found == PCRE2_ERROR_JIT_STACKLIMIT ? match(max_steps, PCRE2_NO_JIT) : found;
}

void PatternMatcher::Charge(uint64_t work) { work_left_ -= std::min(work, work_left_); }

// PCRE2 bounds the steps of each start, but neither tells how many it took nor bounds the starts,
// and a loop over one character is no step: a hostile pattern takes quadratic time. So a match sees
// no more than a window of the text, and tells (a "partial match") where it would like to see
// beyond; then that one start gets a window twice as long. Bytes in sight times starts bound the
// work.
absl::StatusOr<std::optional<PatternMatcher::Match>> PatternMatcher::Find(const Pattern& pattern,
                                                                          std::string_view subject,
                                                                          size_t from) {
  size_t window_bytes = kWindowBytes;
  while (true) {
    size_t end = subject.size();
    if (end - from > window_bytes) {
      end = from + window_bytes;
      while ((subject[end] & 0xC0) == 0x80) --end;
    }
    const bool at_end = end == subject.size();
    const bool one_start = window_bytes > kWindowBytes;
    pcre2_set_offset_limit(context_, one_start ? from : at_end ? PCRE2_UNSET : end - 1);
    const int found =
        TryMatch(pattern, subject.substr(0, end), from, at_end ? 0 : PCRE2_PARTIAL_HARD);
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data_);
    size_t tried_to = one_start ? from : end;
    if (found >= 0) tried_to = pcre2_get_startchar(data_);
    if (found == PCRE2_ERROR_PARTIAL) tried_to = range[0];
    Charge((tried_to - from + 1) * (end - from));
    if (found < 0 && found != PCRE2_ERROR_NOMATCH && found != PCRE2_ERROR_PARTIAL) {
      unsigned char words[128] = {};
      pcre2_get_error_message(found, words, sizeof(words));
      return absl::ResourceExhaustedError(absl::StrCat(
          "the vocabulary's pattern cannot be matched on this text (",
          reinterpret_cast<const char*>(words), "); split the text into shorter parts"));
    }
    if (work_left_ == 0) {
      return absl::ResourceExhaustedError(
          "the vocabulary's pattern takes far more work on this text than a sane one; split the "
          "text into shorter parts, or fetch the model's tokenizer again");
    }
    // \K may move the start beyond the end.
    if (found >= 0) return Match{std::min(range[0], range[1]), range[1]};
    if (found == PCRE2_ERROR_PARTIAL) {
      from = tried_to;
      window_bytes *= 2;
      continue;
    }
    if (at_end && !one_start) return std::nullopt;
    from = one_start ? from + std::max(1, DecodeUtf8(subject.substr(from))) : end;
    window_bytes = kWindowBytes;
  }
}

}  // namespace potluck::model
