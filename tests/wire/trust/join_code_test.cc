#include "wire/trust/join_code.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "wire/trust/join_proof.h"

namespace potluck::wire {
namespace {

const JoinCode kCode{"0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"};

TEST(JoinCodeTest, ReadsWhatItWrites) {
  const std::string text = FormatJoinCode(kCode);
  EXPECT_EQ(text, "pl1.0123456789abcdef0123456789abcdef.fedcba9876543210fedcba9876543210");
  const auto code = ParseJoinCode(text);
  ASSERT_TRUE(code.ok()) << code.status();
  EXPECT_EQ(code->authority, kCode.authority);
  EXPECT_EQ(code->secret, kCode.secret);
}

TEST(JoinCodeTest, ALineHoldsAddressAndCode) {
  for (const std::string address : {"nas.local:7071", "10.0.0.2:7071", "[fe80::1]:7071"}) {
    for (const std::string before : {" ", "potluck join ", " potluck join  "}) {
      const auto line = ParseJoinLine(before + address + "/" + FormatJoinCode(kCode) + "\n");
      ASSERT_TRUE(line.ok()) << line.status();
      EXPECT_EQ(line->address, address);
      EXPECT_EQ(line->code.secret, kCode.secret);
    }
  }
}

TEST(JoinCodeTest, RefusesEveryChangeOfForm) {
  const std::string good = FormatJoinCode(kCode);
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = 'Z';
    EXPECT_FALSE(ParseJoinCode(bad).ok()) << bad;
    EXPECT_FALSE(ParseJoinCode(good.substr(0, i)).ok());
  }
  EXPECT_FALSE(ParseJoinCode(good + "0").ok());
  const std::vector<std::string> lines = {
      "", "/", "nas:7071", "nas/" + good, "/" + good, "nas:7071/" + good + "/x"};
  for (const std::string& line : lines) EXPECT_FALSE(ParseJoinLine(line).ok()) << line;
}

// The expected bytes are Python's: hmac.new(secret, b"potluck join 1\0" + authority + b"\0request",
// "sha256").
TEST(JoinProofTest, IsTheHmacOfItsHeader) {
  const std::string proof = JoinProof(kCode, "request");
  std::string hex;
  for (const char byte : proof) {
    char digits[3];
    snprintf(digits, sizeof(digits), "%02x", static_cast<unsigned char>(byte));
    hex += digits;
  }
  EXPECT_EQ(hex, "9c6eda8f13dd56d4e75075efeab2635e2bf702dc04012dc9334b37824d362603");
}

TEST(JoinProofTest, MatchesOnlyItsOwnCodeAndRequest) {
  const std::string proof = JoinProof(kCode, "request");
  EXPECT_TRUE(ProofMatches(kCode, "request", proof));
  EXPECT_FALSE(ProofMatches(kCode, "another", proof));
  JoinCode other = kCode;
  other.secret[0] = '0';
  EXPECT_FALSE(ProofMatches(other, "request", proof));
  other = kCode;
  other.authority[0] = '1';
  EXPECT_FALSE(ProofMatches(other, "request", proof));
  EXPECT_FALSE(ProofMatches(kCode, "request", ""));
  EXPECT_FALSE(ProofMatches(kCode, "request", proof.substr(1)));
  for (size_t i = 0; i < proof.size(); ++i) {
    std::string bad = proof;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    EXPECT_FALSE(ProofMatches(kCode, "request", bad));
  }
}

}  // namespace
}  // namespace potluck::wire
