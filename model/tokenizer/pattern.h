// Regular expressions as tokenizers mean them, run by PCRE2.
//
// Vocabularies' patterns were written for Oniguruma, Rust's regex or Python's. They agree with
// PCRE2 (UTF, UCP, multi-line) but for \s, which here is Unicode's White_Space; Oniguruma's nested
// sets and && inside [...] are refused, and so is \G. Every match, and all in one text together,
// are bounded in steps and memory, because the patterns come from files and the texts from anybody.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

struct pcre2_real_code_8;
struct pcre2_real_match_data_8;
struct pcre2_real_match_context_8;
struct pcre2_real_jit_stack_8;

namespace potluck::model {

// Thread-safe after Compile.
class Pattern {
 public:
  // InvalidArgument with PCRE2's words and the pattern; Unimplemented for nested sets.
  static absl::StatusOr<Pattern> Compile(std::string_view regular_expression);
  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;
  ~Pattern();

 private:
  friend class PatternMatcher;
  struct FreeCode {
    void operator()(pcre2_real_code_8* code) const;
  };
  explicit Pattern(pcre2_real_code_8* code) : code_(code) {}

  std::unique_ptr<pcre2_real_code_8, FreeCode> code_;
};

// A regular expression that matches exactly `text`.
std::string QuotePattern(std::string_view text);

// The working memory of matches and the bound on their work; made once per text. Single-threaded.
class PatternMatcher {
 public:
  // `text_bytes`: of the whole text. All that is searched together may take work in proportion.
  explicit PatternMatcher(size_t text_bytes);
  ~PatternMatcher();
  PatternMatcher(const PatternMatcher&) = delete;
  PatternMatcher& operator=(const PatternMatcher&) = delete;

  struct Match {
    size_t begin, end;  // bytes; equal for an empty match
  };

  // The leftmost match that starts at `from` or later, or none. `subject` is valid UTF-8 and `from`
  // the start of a character. ResourceExhausted where the pattern needs too many steps, here or
  // together with what was found before.
  absl::StatusOr<std::optional<Match>> Find(const Pattern& pattern, std::string_view subject,
                                            size_t from);

 private:
  // PCRE2's result.
  int TryMatch(const Pattern& pattern, std::string_view subject, size_t from, uint32_t options);
  void Charge(uint64_t work);

  uint64_t work_left_;
  pcre2_real_match_data_8* data_;
  pcre2_real_match_context_8* context_;
  pcre2_real_jit_stack_8* jit_stack_;
};

}  // namespace potluck::model
