// A cluster's authority in a folder that goes with it, and identities of members.
#pragma once

#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "common/check.h"
#include "wire/trust/cluster_authority.h"
#include "wire/trust/keys.h"

namespace potluck::wire {

class TestCluster {
 public:
  TestCluster() {
    std::string name = (std::filesystem::temp_directory_path() / "potluck-trust-XXXXXX").string();
    POTLUCK_CHECK(mkdtemp(name.data()) != nullptr);
    folder_ = name;
    auto opened = ClusterAuthority::OpenOrCreate(folder_, now());
    POTLUCK_CHECK(opened.ok());
    authority_.emplace(*std::move(opened));
  }
  ~TestCluster() { std::filesystem::remove_all(folder_); }
  TestCluster(const TestCluster&) = delete;
  TestCluster& operator=(const TestCluster&) = delete;

  const std::string& folder() const { return folder_; }
  const ClusterAuthority& authority() const { return *authority_; }
  // TLS libraries look at the real clock.
  static absl::Time now() { return absl::FromTimeT(std::time(nullptr)); }

  TlsIdentity NewWorker() const {
    auto identity = authority_->MakeWorkerIdentity(MakePrivateKey().value(), now());
    POTLUCK_CHECK(identity.ok());
    return *std::move(identity);
  }
  TlsIdentity NewCoordinator() const { return authority_->MakeCoordinatorIdentity(now()).value(); }

 private:
  std::string folder_;
  std::optional<ClusterAuthority> authority_;
};

}  // namespace potluck::wire
