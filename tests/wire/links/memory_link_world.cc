#include "tests/wire/links/link_world.h"
#include "wire/memory/memory_network.h"

namespace potluck::wire {
namespace {

class MemoryLinkWorld final : public LinkWorld {
 public:
  MemoryLinkWorld() {
    b_executor.RunAndWait([&] { b_->Listen(acceptor); });
  }
  ~MemoryLinkWorld() override {
    EndB();
    a_executor.RunAndWait([&] { a_.reset(); });
  }

  Transport& a_transport() override { return *a_; }
  WorkerId a_id() const override { return "a"; }
  WorkerId b_id() const override { return "b"; }
  std::vector<std::string> b_addresses() const override { return {"b:1"}; }
  std::string dead_address() const override { return "c:1"; }
  void EndB() override {
    b_executor.RunAndWait([&] {
      b_.reset();
      acceptor.taken.clear();
    });
  }

 private:
  MemoryNetwork network_;
  std::unique_ptr<MemoryTransport> a_ = network_.AddNode("a", {}, a_executor),
                                   b_ = network_.AddNode("b", {"b:1"}, b_executor);
};

}  // namespace

std::unique_ptr<LinkWorld> MakeMemoryLinkWorld() { return std::make_unique<MemoryLinkWorld>(); }

}  // namespace potluck::wire
