#include "common/text.h"

#include <gtest/gtest.h>

namespace potluck {
namespace {

TEST(DecodeUtf8, AcceptsEveryCodePointAndRefusesSurrogates) {
  for (char32_t code_point = 0; code_point <= 0x10FFFF; ++code_point) {
    if (code_point >= 0xD800 && code_point <= 0xDFFF) continue;
    std::string text;
    AppendUtf8(code_point, text);
    char32_t decoded = 0xFFFFFFFF;
    ASSERT_EQ(DecodeUtf8(text, &decoded), static_cast<int>(text.size()));
    ASSERT_EQ(decoded, code_point);
  }
  EXPECT_EQ(DecodeUtf8("\xED\xA0\x80"), 0);
}

TEST(DecodeUtf8, RefusesOverlongCutOffAndOutOfRange) {
  for (const char* bad : {"\xC0\x80", "\xE0\x80\x80", "\xF0\x80\x80\x80", "\xF4\x90\x80\x80",
                          "\xE2\x82", "\x80", "\xFF"}) {
    EXPECT_EQ(DecodeUtf8(bad), 0) << Printable(bad);
  }
  EXPECT_EQ(DecodeUtf8(""), 0);
}

TEST(AppendUtf8, ReplacesWhatUtf8CannotCarry) {
  std::string text;
  AppendUtf8(0xD800, text);
  EXPECT_EQ(text, "\xEF\xBF\xBD");
}

TEST(ValidUtf8, KeepsWhatIsValidAndReplacesEachOtherByte) {
  EXPECT_EQ(ValidUtf8("Lauch \u00e9 \U0001F372"), "Lauch \u00e9 \U0001F372");
  EXPECT_EQ(ValidUtf8("a\xff"
                      "b\xe2\x82"),
            "a\uFFFDb\uFFFD\uFFFD");
  EXPECT_EQ(ValidUtf8(""), "");
}

TEST(Printable, EscapesAndCuts) {
  EXPECT_EQ(Printable("a\n\xFFz"), "a\\x0A\\xFFz");
  EXPECT_EQ(Printable("\xC2\x9B"
                      "2J\x7F\xC2\xA0"),
            "\\xC2\\x9B"
            "2J\\x7F\xC2\xA0");
  EXPECT_EQ(Printable("abcdef", 3), "abc...");
}

}  // namespace
}  // namespace potluck
