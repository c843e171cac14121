#include <gtest/gtest.h>

#include "tests/wire/links/link_world.h"
#include "tests/wire/testing/test_cluster.h"
#include "wire/grpc/grpc_server.h"
#include "wire/grpc/grpc_transport.h"

namespace potluck::wire {
namespace {

class GrpcLinkWorld final : public LinkWorld {
 public:
  GrpcLinkWorld() {
    TestCluster cluster;
    const TlsIdentity a = cluster.NewWorker(), b = cluster.NewWorker();
    a_id_ = a.id;
    b_id_ = b.id;
    a_executor.RunAndWait([&] { a_ = std::make_unique<GrpcTransport>(a_executor, a); });
    b_executor.RunAndWait([&] {
      GrpcServer::Options options{.identity = b, .addresses = {"127.0.0.1:0"}};
      auto server = GrpcServer::Start(b_executor, acceptor, options);
      ASSERT_TRUE(server.ok()) << server.status();
      b_ = *std::move(server);
      b_addresses_ = b_->addresses();
    });
  }
  ~GrpcLinkWorld() override {
    EndB();
    a_executor.RunAndWait([&] { a_.reset(); });
  }

  Transport& a_transport() override { return *a_; }
  WorkerId a_id() const override { return a_id_; }
  WorkerId b_id() const override { return b_id_; }
  std::vector<std::string> b_addresses() const override { return b_addresses_; }
  std::string dead_address() const override { return "127.0.0.1:1"; }
  void EndB() override {
    b_executor.RunAndWait([&] {
      b_.reset();
      acceptor.taken.clear();
    });
  }

 private:
  WorkerId a_id_, b_id_;
  std::vector<std::string> b_addresses_;
  std::unique_ptr<GrpcTransport> a_;
  std::unique_ptr<GrpcServer> b_;
};

}  // namespace

std::unique_ptr<LinkWorld> MakeGrpcLinkWorld() { return std::make_unique<GrpcLinkWorld>(); }

}  // namespace potluck::wire
