#include "common/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace potluck {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class LogTest : public testing::Test {
 protected:
  void Configure(LogOptions options) {
    options.now = [this] { return now_; };
    options.write = [this](std::string_view line) { lines_.emplace_back(line); };
    ConfigureLog(std::move(options));
  }
  void TearDown() override { ConfigureLog({}); }

  absl::Time now_ = absl::FromUnixMillis(1772359200123);
  std::vector<std::string> lines_;
};

TEST_F(LogTest, WritesLogfmt) {
  Configure({});
  Log(LogLevel::kInfo, "worker joined", {{"worker", "8f3a"}, {"devices", 2}, {"load", 0.25}});
  EXPECT_THAT(lines_, ElementsAre("time=2026-03-01T10:00:00.123Z level=info event=\"worker "
                                  "joined\" worker=8f3a devices=2 load=0.25\n"));
}

TEST_F(LogTest, AHostileValueStaysOnItsLine) {
  const std::string hostile = "a\" level=error\nevent=\"x\x01\xff=\\";
  Configure({});
  Log(LogLevel::kInfo, "name", {{"name", hostile}});
  ASSERT_EQ(lines_.size(), 1);
  EXPECT_THAT(lines_[0].substr(0, lines_[0].size() - 1), Not(HasSubstr("\n")));
  EXPECT_THAT(lines_[0], HasSubstr(R"(name="a\" level=error\nevent=\"x\u0001\ufffd=\\")"));
}

TEST_F(LogTest, WritesJsonThatOthersRead) {
  Configure({.format = LogFormat::kJson});
  Log(LogLevel::kWarning, "slow",
      {{"name", "a\"b\\c\n\x02"},
       {"seconds", 1.5},
       {"count", size_t{7}},
       {"nothing", std::numeric_limits<double>::quiet_NaN()}});
  ASSERT_EQ(lines_.size(), 1);
  const auto line = nlohmann::json::parse(lines_[0], nullptr, false);
  ASSERT_TRUE(line.is_object()) << lines_[0];
  EXPECT_EQ(line["name"], "a\"b\\c\n\x02");
  EXPECT_EQ(line["level"], "warning");
  EXPECT_EQ(line["seconds"], 1.5);
  EXPECT_EQ(line["count"], 7);
  EXPECT_EQ(line["nothing"], "nan");
}

TEST_F(LogTest, LeavesOutWhatIsBelowTheLevel) {
  Configure({.level = LogLevel::kWarning});
  Log(LogLevel::kInfo, "quiet");
  Log(LogLevel::kError, "loud");
  ASSERT_EQ(lines_.size(), 1);
  EXPECT_THAT(lines_[0], HasSubstr("event=loud"));
}

TEST_F(LogTest, CutsRepeatsShortAndSaysHowMany) {
  Configure({.burst = 3, .interval = absl::Seconds(10)});
  for (int i = 0; i < 10; ++i) Log(LogLevel::kInfo, "again", {{"i", i}});
  Log(LogLevel::kInfo, "other");
  EXPECT_EQ(lines_.size(), 4);
  now_ += absl::Seconds(10);
  Log(LogLevel::kInfo, "again", {{"i", 10}});
  ASSERT_EQ(lines_.size(), 5);
  EXPECT_THAT(lines_[4], HasSubstr("i=10 left_out=7"));
  Log(LogLevel::kInfo, "again", {{"i", 11}});
  ASSERT_EQ(lines_.size(), 6);
  EXPECT_THAT(lines_[5], Not(HasSubstr("left_out")));
}

TEST(LogNames, AreParsed) {
  EXPECT_EQ(*ParseLogLevel("warning"), LogLevel::kWarning);
  EXPECT_EQ(*ParseLogFormat("json"), LogFormat::kJson);
  EXPECT_THAT(std::string(ParseLogLevel("loud").status().message()), HasSubstr("debug, info"));
  EXPECT_FALSE(ParseLogFormat("xml").ok());
}

}  // namespace
}  // namespace potluck
