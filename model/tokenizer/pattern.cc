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
constexpr uint32_t kMatchSteps = 1'000'000;          // and 16 per byte of the subject
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
      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &offset, context);
  pcre2_compile_context_free(context);
  if (code == nullptr) {
    unsigned char words[128] = {};
    pcre2_get_error_message(error, words, sizeof(words));
    return absl::InvalidArgumentError(
        absl::StrCat("the pattern ", Printable(regular_expression),
                     " cannot be read: ", reinterpret_cast<const char*>(words)));
  }
  // Where the machine has no just-in-time compiler, matching works without, only slower.
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
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

PatternMatcher::PatternMatcher()
    : data_(pcre2_match_data_create(1, nullptr)),
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

absl::StatusOr<std::optional<PatternMatcher::Match>> PatternMatcher::Find(const Pattern& pattern,
                                                                          std::string_view subject,
                                                                          size_t from) {
  constexpr uint64_t kMaxSteps = UINT32_MAX;
  pcre2_set_match_limit(context_, static_cast<uint32_t>(std::min<uint64_t>(
                                      kMatchSteps + uint64_t{16} * subject.size(), kMaxSteps)));
  const auto* text = reinterpret_cast<PCRE2_SPTR>(subject.data());
  int found = pcre2_match(pattern.code_.get(), text, subject.size(), from, PCRE2_NO_UTF_CHECK,
                          data_, context_);
  if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
    found = pcre2_match(pattern.code_.get(), text, subject.size(), from,
                        PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data_, context_);
  }
  if (found == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (found < 0) {
    unsigned char words[128] = {};
    pcre2_get_error_message(found, words, sizeof(words));
    return absl::ResourceExhaustedError(
        absl::StrCat("the vocabulary's pattern cannot be matched on this text (",
                     reinterpret_cast<const char*>(words), "); split the text into shorter parts"));
  }
  const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data_);
  // \K may move the start beyond the end.
  return Match{std::min(range[0], range[1]), range[1]};
}

}  // namespace potluck::model
