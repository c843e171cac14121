#include "wire/trust/join_desk.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <optional>
#include <string>
#include <utility>

#include "common/files.h"
#include "tests/wire/testing/test_cluster.h"
#include "wire/trust/join_proof.h"
#include "wire/trust/keys.h"
#include "wire/trust/stored_identity.h"
#include "wire/version.h"

namespace potluck::wire {
namespace {

using testing::Test;

class JoinDeskTest : public Test {
 protected:
  JoinDeskTest() {
    auto opened = Open();
    EXPECT_TRUE(opened.ok()) << opened.status();
    codes_.emplace(*std::move(opened));
    desk_.emplace(
        cluster_.authority(), *codes_, [this] { return now_; }, "0.1.0");
  }
  absl::StatusOr<JoinCodes> Open() {
    return JoinCodes::OpenOrCreate(cluster_.folder(), cluster_.authority().key_name(), now_);
  }
  JoinCode Code() { return codes_->Current(now_).value(); }
  // As a machine with that code sends it.
  JoinAttempt AttemptWith(const JoinCode& code) {
    JoinAttempt attempt{.version = OurVersion("0.1.0"), .name = "pi", .address = "10.0.0.7:1234"};
    attempt.certificate_request = MakeCertificateRequest(key_).value();
    attempt.proof = JoinProof(code, attempt.certificate_request);
    return attempt;
  }
  JoinCode WrongCode() { return {cluster_.authority().key_name(), std::string(32, '0')}; }

  absl::Time now_ = TestCluster::now();
  const TestCluster cluster_;
  const std::string key_ = MakePrivateKey().value();
  std::optional<JoinCodes> codes_;
  std::optional<JoinDesk> desk_;
};

TEST_F(JoinDeskTest, TheRightCodeGivesACertificateForTheKey) {
  const auto chain = desk_->Admit(AttemptWith(Code()));
  ASSERT_TRUE(chain.ok()) << chain.status();
  const auto identity = AssembleIdentity(key_, *chain);
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_EQ(identity->id, *NameOfPrivateKey(key_));
  EXPECT_EQ(identity->authority, cluster_.authority().certificate());
}

TEST_F(JoinDeskTest, SaysWhetherACodeIsWrongOrOld) {
  const auto wrong = desk_->Admit(AttemptWith(WrongCode())).status();
  EXPECT_EQ(wrong.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_NE(wrong.message().find("wrong"), absl::string_view::npos) << wrong;

  const JoinCode before = Code();
  const JoinCode after = codes_->Replace(now_).value();
  EXPECT_NE(before.secret, after.secret);
  const auto old = desk_->Admit(AttemptWith(before)).status();
  EXPECT_EQ(old.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_NE(old.message().find("old"), absl::string_view::npos) << old;
  EXPECT_TRUE(desk_->Admit(AttemptWith(after)).ok());
}

TEST_F(JoinDeskTest, CodesChangeByThemselvesAndEnd) {
  const JoinCode first = Code();
  now_ += JoinCodes::kLife / 2 + absl::Minutes(1);
  const JoinCode second = Code();
  EXPECT_NE(first.secret, second.secret);
  EXPECT_TRUE(desk_->Admit(AttemptWith(first)).ok());  // until its own end
  EXPECT_TRUE(desk_->Admit(AttemptWith(second)).ok());
  now_ += JoinCodes::kLife / 2;
  EXPECT_EQ(desk_->Admit(AttemptWith(first)).status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_TRUE(desk_->Admit(AttemptWith(second)).ok());
}

TEST_F(JoinDeskTest, CodesOutliveTheProcessInAPrivateFile) {
  const std::string path = cluster_.folder() + "/join_codes";
  struct stat found {};
  ASSERT_EQ(stat(path.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 07777, 0600u);
  auto again = Open();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->Current(now_)->secret, Code().secret);
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(codes_->Replace(now_).ok());
  EXPECT_TRUE(Open().ok());
  EXPECT_LT(ReadFile(path, 10'000)->size(), 1000u);
  for (const char* bad : {"x", "0 1\n", "00000000000000000000000000000000 soon\n"}) {
    ASSERT_TRUE(WriteFileAtomically(path, bad).ok());
    EXPECT_EQ(Open().status().code(), absl::StatusCode::kDataLoss);
  }
}

TEST_F(JoinDeskTest, TooManyWrongCodesHaveToWait) {
  for (int i = 0; i < JoinDesk::kMostWrongOfHost; ++i) {
    EXPECT_EQ(desk_->Admit(AttemptWith(WrongCode())).status().code(),
              absl::StatusCode::kPermissionDenied);
  }
  JoinAttempt right = AttemptWith(Code());
  right.address = "10.0.0.7:9";  // another port of the same host
  EXPECT_EQ(desk_->Admit(right).status().code(), absl::StatusCode::kResourceExhausted);
  right.address = "10.0.0.8:9";
  EXPECT_TRUE(desk_->Admit(right).ok());
  now_ += absl::Minutes(1);
  right.address = "10.0.0.7:9";
  EXPECT_TRUE(desk_->Admit(right).ok());

  for (int i = 0; i < JoinDesk::kMostWrong; ++i) {
    JoinAttempt wrong = AttemptWith(WrongCode());
    wrong.address = "10.0.1." + std::to_string(i) + ":1";
    EXPECT_EQ(desk_->Admit(wrong).status().code(), absl::StatusCode::kPermissionDenied);
  }
  EXPECT_EQ(desk_->Admit(right).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(JoinDeskTest, AMemberRenewsItsOwnCertificateOnly) {
  JoinAttempt attempt = AttemptWith(Code());
  attempt.proof.clear();
  EXPECT_FALSE(desk_->Admit(attempt).ok());  // nothing is proved
  attempt.proved = *NameOfPrivateKey(key_);
  EXPECT_TRUE(desk_->Admit(attempt).ok());
  attempt.proved = cluster_.NewWorker().id;
  EXPECT_EQ(desk_->Admit(attempt).status().code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(JoinDeskTest, RefusesOtherVersionsAndStrangeRequests) {
  JoinAttempt attempt = AttemptWith(Code());
  attempt.version.major = 2;
  EXPECT_EQ(desk_->Admit(attempt).status().code(), absl::StatusCode::kFailedPrecondition);
  attempt = AttemptWith(Code());
  attempt.certificate_request = "x";
  attempt.proof = JoinProof(Code(), "x");
  EXPECT_EQ(desk_->Admit(attempt).status().code(), absl::StatusCode::kInvalidArgument);
  attempt.certificate_request.assign(1 << 20, 'x');
  EXPECT_EQ(desk_->Admit(attempt).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace potluck::wire
