// Matches within windows against PCRE2 on the whole text, and the bound on their work.
#include "model/tokenizer/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace potluck::model {
namespace {

using ::testing::HasSubstr;
using Matches = std::vector<std::pair<size_t, size_t>>;

size_t NextStart(std::string_view text, size_t begin, size_t end) {
  if (end > begin) return end;
  for (++end; end < text.size() && (text[end] & 0xC0) == 0x80;) ++end;
  return end;
}

absl::StatusOr<Matches> InWindows(const std::string& pattern, std::string_view text) {
  const absl::StatusOr<Pattern> compiled = Pattern::Compile(pattern);
  if (!compiled.ok()) return compiled.status();
  PatternMatcher matcher(text.size());
  Matches matches;
  for (size_t from = 0; from <= text.size();) {
    const auto match = matcher.Find(*compiled, text, from);
    if (!match.ok()) return match.status();
    if (!match->has_value()) break;
    matches.emplace_back((*match)->begin, (*match)->end);
    from = NextStart(text, (*match)->begin, (*match)->end);
  }
  return matches;
}

// PCRE2 alone; without \s in the pattern it is read as Pattern reads it.
Matches AtOnce(const std::string& pattern, std::string_view text) {
  int error = 0;
  size_t offset = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error, &offset, nullptr);
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  Matches matches;
  for (size_t from = 0; from <= text.size();) {
    if (pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from, 0, data,
                    nullptr) < 0) {
      break;
    }
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data);
    matches.emplace_back(range[0], range[1]);
    from = NextStart(text, range[0], range[1]);
  }
  pcre2_match_data_free(data);
  pcre2_code_free(code);
  return matches;
}

// Runs of a few characters, some far longer than a window.
std::string RandomText(std::mt19937& random) {
  static const std::vector<std::string> kCharacters = {"a", "B", " ", "\n", "1", ".", "é", "中"};
  std::string text;
  const int runs = std::uniform_int_distribution(0, 12)(random);
  for (int run = 0; run < runs; ++run) {
    const std::string& character =
        kCharacters[std::uniform_int_distribution<size_t>(0, kCharacters.size() - 1)(random)];
    const bool is_long = std::uniform_int_distribution(0, 3)(random) == 0;
    const int length = std::uniform_int_distribution(1, is_long ? 1200 : 6)(random);
    for (int i = 0; i < length; ++i) text += character;
  }
  return text;
}

TEST(Pattern, WindowsFindWhatOneLookAtTheWholeTextFinds) {
  std::mt19937 random(1);
  const std::vector<std::string> patterns = {
      R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^ \n\p{L}\p{N}]+[\r\n]*|[ \n]*[\r\n]+|[ \n]+(?![^ \n])|[ \n]+)",
      R"('s| ?\p{L}+| ?\p{N}+| ?[^ \n\p{L}\p{N}]+| +(?! )| +)",
      R"((?=(\p{N}{3})+(?!\p{N})))",
      R"(a+?[^a]|a(?=a*B))",
      R"((?<=a)B+$)",
      R"(^ +|\.+$)",
      R"(\b\p{L}+\b)",
      R"((?i)b+\.?|(?<! ) )",
      R"(x*)",
      R"((?<=中)|1(?!1))",
      R"(a*+\K.)",
      R"(\n[^\n]+|[^\n]+)",
      R"(zzz|a{500,600}|$)",
      R"([^.]*\.)",
  };
  size_t found = 0;
  for (int round = 0; round < 40; ++round) {
    const std::string text = RandomText(random);
    for (const std::string& pattern : patterns) {
      const auto matches = InWindows(pattern, text);
      ASSERT_TRUE(matches.ok()) << matches.status() << pattern;
      ASSERT_EQ(*matches, AtOnce(pattern, text)) << pattern << "\n" << text;
      found += matches->size();
    }
  }
  EXPECT_GT(found, 10000u);
}

TEST(Pattern, WorkInOneTextIsBounded) {
  const std::string text(100'000, 'a');
  // Each match, or each start, looks at all that follows.
  for (const char* pattern : {"a+?[^a]|a(?=a*b)", "a(?=a*$)", "(?:a|a)+?b|a", "a+[^a]"}) {
    const auto matches = InWindows(pattern, text);
    ASSERT_FALSE(matches.ok()) << pattern;
    EXPECT_EQ(matches.status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(std::string(matches.status().message()), HasSubstr("split the text")) << pattern;
  }
}

TEST(Pattern, LongMatchesAndLongWaysToNoneAreFine) {
  const std::string run(2'000'000, ' ');
  EXPECT_EQ(*InWindows(R"(\s+(?!\S)|\s+)", run + "a"),
            (Matches{{0, run.size() - 1}, {run.size() - 1, run.size()}}));
  EXPECT_EQ(*InWindows("<[^>]*>|x", "<" + run + "x"), (Matches{{run.size() + 1, run.size() + 2}}));
  EXPECT_EQ(InWindows(" ", run)->size(), run.size());
}

TEST(Pattern, WhatIsRefused) {
  EXPECT_EQ(Pattern::Compile("a[b[c]]").status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(Pattern::Compile(R"(\Ga)").status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(Pattern::Compile("(").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Pattern::Compile(std::string(1 << 20, 'a')).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace potluck::model
