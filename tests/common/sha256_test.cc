#include "common/sha256.h"

#include <gtest/gtest.h>

#include <string>

namespace potluck {
namespace {

// FIPS 180-4's own examples (NIST's "SHA256.pdf"), and the million letters of its appendix.
TEST(Sha256, GivesThePublishedDigests) {
  EXPECT_EQ(Sha256("").ToHex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256("abc").ToHex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq").ToHex(),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(Sha256(std::string(1'000'000, 'a')).ToHex(),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, HexIsReadBackAndNothingElseIs) {
  const Sha256Digest digest = Sha256("abc");
  const std::string hex = digest.ToHex();
  EXPECT_EQ(Sha256Digest::FromHex(hex), digest);
  for (const std::string& wrong :
       {std::string(), hex.substr(1), hex + "0", "B" + hex.substr(1), "g" + hex.substr(1),
        " " + hex.substr(1), std::string(64, '\0'), "../" + hex.substr(3)}) {
    EXPECT_FALSE(Sha256Digest::FromHex(wrong).has_value()) << wrong;
  }
}

}  // namespace
}  // namespace potluck
