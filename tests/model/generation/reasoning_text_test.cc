#include "model/generation/reasoning_text.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace potluck::model {
namespace {

// What `text` is split into when it comes in pieces of `size` bytes.
std::pair<std::string, std::string> Split(bool opened, const std::string& text, size_t size) {
  ReasoningText splitter(opened);
  std::pair<std::string, std::string> parts;
  const auto add = [&](const ReasoningText::Piece& piece) {
    EXPECT_TRUE(piece.reasoning.empty() || parts.second.empty()) << "reasoning behind the answer";
    parts.first += piece.reasoning;
    parts.second += piece.text;
  };
  for (size_t i = 0; i < text.size(); i += size) add(splitter.Feed(text.substr(i, size)));
  add(splitter.Flush());
  return parts;
}

struct Case {
  bool opened;
  std::string said, reasoning, text;
};

TEST(ReasoningText, IsToldApartHoweverTheTextIsCut) {
  for (const Case& c : {
           Case{false, "<think>\nSix, or seven?\n\nSix.\n</think>\n\nSix guests.\n",
                "Six, or seven?\n\nSix.", "Six guests.\n"},
           Case{true, "Six?\n</think>\n\nSix.", "Six?", "Six."},
           Case{false, "\n<think>\n\n</think>\n\nYes", "", "Yes"},
           Case{false, "Nobody thinks </think> here.", "", "Nobody thinks </think> here."},
           Case{false, "a <think>b</think>", "", "a <think>b</think>"},
           Case{false, "<thin ice>", "", "<thin ice>"},
           Case{false, "<thi", "", "<thi"},
           Case{false, "", "", ""},
           Case{true, "x </think </thin</think>y </think>", "x </think </thin", "y </think>"},
           Case{true, "cut off in the mid</th", "cut off in the mid</th", ""},
       }) {
    for (size_t size = 1; size <= c.said.size() + 1; ++size) {
      const auto [reasoning, text] = Split(c.opened, c.said, size);
      EXPECT_EQ(reasoning, c.reasoning) << c.said << " in pieces of " << size;
      EXPECT_EQ(text, c.text) << c.said << " in pieces of " << size;
    }
  }
}

TEST(ReasoningText, IsShownAsItComes) {
  ReasoningText splitter(false);
  EXPECT_TRUE(splitter.Feed("<think>").empty());
  EXPECT_EQ(splitter.Feed("\nfirst").reasoning, "first");
  EXPECT_TRUE(splitter.Feed("\n").empty());
  EXPECT_EQ(splitter.Feed("second</").reasoning, "\nsecond");
  EXPECT_EQ(splitter.Feed("b> third").reasoning, "</b> third");
}

}  // namespace
}  // namespace potluck::model
