#include "model/generation/stop_strings.h"

#include <gtest/gtest.h>

namespace potluck::model {
namespace {

// The shown text when `text` comes in pieces of `size` bytes.
std::string FeedInPieces(StopStrings& stops, const std::string& text, size_t size) {
  std::string shown;
  for (size_t i = 0; i < text.size(); i += size) shown += stops.Feed(text.substr(i, size));
  return shown + stops.Flush();
}

TEST(StopStrings, EndBeforeTheFirstOneHoweverTheTextIsCut) {
  const std::string text = "one two END three STOP four";
  for (size_t size = 1; size <= text.size(); ++size) {
    StopStrings stops({"STOP", "END"});
    EXPECT_EQ(FeedInPieces(stops, text, size), "one two ") << size;
    EXPECT_TRUE(stops.stopped());
  }
}

TEST(StopStrings, HoldBackOnlyWhatMightBeTheBeginningOfOne) {
  StopStrings stops({"\n\nUser"});
  EXPECT_EQ(stops.Feed("Hello\n"), "Hello");
  EXPECT_EQ(stops.Feed("\n"), "");
  EXPECT_EQ(stops.Feed("Us"), "");
  EXPECT_EQ(stops.Feed("eful"), "\n\nUseful");
  EXPECT_EQ(stops.Feed("\n\nUse"), "");
  EXPECT_EQ(stops.Flush(), "\n\nUse");
  EXPECT_FALSE(stops.stopped());
}

TEST(StopStrings, ThatRepeatThemselvesAreFound) {
  StopStrings stops({"aab"});
  EXPECT_EQ(FeedInPieces(stops, "aaaab!", 1), "aa");
  EXPECT_TRUE(stops.stopped());
}

TEST(StopStrings, EmptyOnesNeverStop) {
  StopStrings stops({"", ""});
  EXPECT_EQ(FeedInPieces(stops, "text", 2), "text");
  EXPECT_FALSE(stops.stopped());
}

}  // namespace
}  // namespace potluck::model
