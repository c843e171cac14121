#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "common/files.h"
#include "tests/wire/testing/test_cluster.h"
#include "wire/trust/certificates.h"
#include "wire/trust/cluster_authority.h"
#include "wire/trust/keys.h"
#include "wire/trust/stored_identity.h"

namespace potluck::wire {
namespace {

mode_t ModeOf(const std::string& path) {
  struct stat found {};
  EXPECT_EQ(stat(path.c_str(), &found), 0) << path;
  return found.st_mode & 07777;
}

TEST(ClusterAuthorityTest, IsMadeOnceAndKeptPrivate) {
  const TestCluster cluster;
  const auto again = ClusterAuthority::OpenOrCreate(cluster.folder(), cluster.now());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->key_name(), cluster.authority().key_name());
  EXPECT_EQ(again->certificate(), cluster.authority().certificate());
  EXPECT_EQ(*NameOfCertificateKey(again->certificate()), again->key_name());
  EXPECT_EQ(ModeOf(cluster.folder() + "/authority.pem"), 0600u);
  EXPECT_NE(TestCluster().authority().key_name(), again->key_name());
}

TEST(ClusterAuthorityTest, AFileThatIsNoneIsLeftAlone) {
  const TestCluster cluster;
  const std::string path = cluster.folder() + "/authority.pem";
  const std::string good = *ReadFile(path, 100'000);
  for (const std::string& bad :
       {std::string(), std::string("x"), good.substr(0, good.size() / 2)}) {
    ASSERT_TRUE(WriteFileAtomically(path, bad).ok());
    const auto opened = ClusterAuthority::OpenOrCreate(cluster.folder(), cluster.now());
    EXPECT_EQ(opened.status().code(), absl::StatusCode::kDataLoss) << opened.status();
    EXPECT_EQ(*ReadFile(path, 100'000), bad);
  }
}

TEST(ClusterAuthorityTest, MembersAreNamedByTheirKeys) {
  const TestCluster cluster;
  const std::string key = *MakePrivateKey();
  const TlsIdentity one = *cluster.authority().MakeWorkerIdentity(key, cluster.now());
  const TlsIdentity two = *cluster.authority().MakeWorkerIdentity(key, cluster.now());
  EXPECT_EQ(one.id, *NameOfPrivateKey(key));
  EXPECT_EQ(one.id.size(), 32u);
  EXPECT_EQ(one.id, two.id);
  EXPECT_NE(one.certificate, two.certificate);  // serial numbers
  EXPECT_NE(cluster.NewWorker().id, one.id);
  EXPECT_EQ(cluster.NewCoordinator().id, kCoordinator);
  EXPECT_EQ(MemberOfTlsName(TlsName(one.id)), one.id);
  EXPECT_EQ(MemberOfTlsName(TlsName(kCoordinator)), kCoordinator);
  for (const char* name :
       {"", "coordinator.worker.potluck", "x.potluck", ".worker.potluck.", "*.worker.potluck"})
    EXPECT_EQ(MemberOfTlsName(name), "") << name;
}

TEST(ClusterAuthorityTest, SignsOnlyGoodRequests) {
  const TestCluster cluster;
  const std::string request = *MakeCertificateRequest(*MakePrivateKey());
  ASSERT_TRUE(cluster.authority().Issue(request, cluster.now()).ok());
  for (size_t i = 0; i < request.size(); ++i) {
    std::string bad = request;
    bad[i] = static_cast<char>(bad[i] ^ 0x20);
    EXPECT_FALSE(cluster.authority().Issue(bad, cluster.now()).ok()) << i;
    EXPECT_FALSE(cluster.authority().Issue(request.substr(0, i), cluster.now()).ok()) << i;
  }
  EXPECT_FALSE(cluster.authority().Issue(request + "x", cluster.now()).ok());
}

TEST(StoredIdentityTest, ReadsWhatItWritesAndNothingElse) {
  const TestCluster cluster;
  const std::string& folder = cluster.folder();
  EXPECT_EQ(ReadIdentity(folder).status().code(), absl::StatusCode::kNotFound);
  const TlsIdentity identity = cluster.NewWorker(), other = cluster.NewWorker();
  ASSERT_TRUE(WriteIdentity(folder, identity).ok());
  EXPECT_EQ(ModeOf(folder + "/identity.pem"), 0600u);
  const auto read = ReadIdentity(folder);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->id, identity.id);
  EXPECT_EQ(read->private_key, identity.private_key);
  EXPECT_EQ(read->certificate, identity.certificate);
  EXPECT_EQ(read->authority, cluster.authority().certificate());

  TlsIdentity mixed = identity;
  mixed.certificate = other.certificate;
  ASSERT_TRUE(WriteIdentity(folder, mixed).ok());
  EXPECT_EQ(ReadIdentity(folder).status().code(), absl::StatusCode::kDataLoss);
  mixed.certificate =
      ToPem(**ReadCertificate(identity.certificate)) + TestCluster().authority().certificate();
  ASSERT_TRUE(WriteIdentity(folder, mixed).ok());
  EXPECT_EQ(ReadIdentity(folder).status().code(), absl::StatusCode::kDataLoss);
}

TEST(StoredIdentityTest, KnowsWhenToRenew) {
  const TestCluster cluster;
  const auto life = LifeOf(cluster.NewWorker());
  ASSERT_TRUE(life.ok()) << life.status();
  EXPECT_GT(life->renew, cluster.now() + absl::Hours(24 * 60));
  EXPECT_GT(life->end, life->renew + absl::Hours(24 * 200));
  EXPECT_LT(life->end, cluster.now() + ClusterAuthority::kMemberLife + absl::Hours(1));
}

}  // namespace
}  // namespace potluck::wire
