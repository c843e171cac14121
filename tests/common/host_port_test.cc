#include "common/host_port.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace potluck {
namespace {

using testing::HasSubstr;

TEST(HostPortTest, ReadsWhatPeopleWrite) {
  for (const auto& [text, host, port] : std::vector<std::tuple<std::string, std::string, int>>{
           {"127.0.0.1:7070", "127.0.0.1", 7070},
           {"nas.local:0", "nas.local", 0},
           {"[::1]:65535", "::1", 65535},
           {"[fe80::1%eth0]:7071", "fe80::1%eth0", 7071},
       }) {
    const auto parsed = ParseHostPort(text);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(parsed->host, host);
    EXPECT_EQ(parsed->port, port);
    EXPECT_EQ(JoinHostPort(parsed->host, parsed->port), text);
  }
}

TEST(HostPortTest, SaysWhatIsMissing) {
  for (const auto& [text, what] : std::vector<std::pair<std::string, std::string>>{
           {"", "port is missing"},
           {"nas", "port is missing"},
           {":7070", "host is missing"},
           {"[]:1", "host is missing"},
           {"nas:", "no number"},
           {"nas:65536", "no number"},
           {"nas:-1", "no number"},
           {"nas:+1", "no number"},
           {"nas: 1", "no number"},
           {"nas:99999999999", "no number"},
           {"::1:7070", "stands in brackets"},
           {"[::1:7070", "bracket is missing"},
       }) {
    const auto parsed = ParseHostPort(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_THAT(std::string(parsed.status().message()), HasSubstr(what)) << text;
  }
}

TEST(HostPort, APortIsAddedWhereThereIsNone) {
  EXPECT_EQ(WithPort("nas.local", 7072), "nas.local:7072");
  EXPECT_EQ(WithPort("nas.local:80", 7072), "nas.local:80");
  EXPECT_EQ(WithPort("[::1]", 7072), "[::1]:7072");
  EXPECT_EQ(WithPort("[::1]:80", 7072), "[::1]:80");
}

}  // namespace
}  // namespace potluck
