// Machines with weights in one process, under one simulated clock: some serve, some fetch.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/store/blob_store.h"
#include "tests/testing/simulated_executor.h"
#include "wire/memory/memory_network.h"
#include "wire/version.h"
#include "wire/weights/weights_server.h"
#include "worker/weights/source.h"

namespace potluck::worker {

inline std::span<const std::byte> BytesOf(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// Content that differs from chunk to chunk and from seed to seed.
inline std::string Content(uint64_t size, int seed) {
  std::string text(size, '\0');
  uint32_t state = static_cast<uint32_t>(seed) * 2654435761u + 1;
  for (char& c : text) c = static_cast<char>((state = state * 1664525u + 1013904223u) >> 24);
  return text;
}

// A peer that answers weights requests as a test says.
class ScriptedSource final : public wire::LinkAcceptor, public wire::LinkHandler {
 public:
  // Answers a request with messages; none: it is silent.
  std::function<std::vector<wire::Message>(const wire::ChunkRequest&)> on_chunk;
  std::function<std::vector<wire::Message>(const wire::ManifestRequest&)> on_manifest;
  int num_links = 0, num_requests = 0;
  absl::Status closed;  // what the other side said

  wire::LinkHandler& OnLink(wire::LinkKind /*kind*/, std::unique_ptr<wire::Link> link) override {
    ++num_links;
    link_ = std::move(link);
    return *this;
  }
  void OnMessage(wire::Message message) override {
    std::vector<wire::Message> answers;
    if (const auto* chunk = std::get_if<wire::ChunkRequest>(&message)) {
      ++num_requests;
      if (on_chunk) answers = on_chunk(*chunk);
    } else if (const auto* manifest = std::get_if<wire::ManifestRequest>(&message)) {
      if (on_manifest) answers = on_manifest(*manifest);
    }
    for (wire::Message& answer : answers) link_->Send(std::move(answer));
  }
  void OnClosed(absl::Status why) override { closed = std::move(why); }

 private:
  std::unique_ptr<wire::Link> link_;
};

// A network that does what a test says, by the sender's name.
struct SlowNetwork final : wire::FaultModel {
  wire::Passage OnDial(const wire::WorkerId& /*from*/, const wire::WorkerId& to,
                       wire::LinkKind /*kind*/) override {
    wire::Passage passage;
    if (unreachable == to) passage.broken = absl::UnavailableError("cannot be reached");
    return passage;
  }
  wire::Passage OnMessage(const wire::WorkerId& from, const wire::WorkerId& /*to*/,
                          wire::LinkKind /*kind*/, const wire::Message& message) override {
    wire::Passage passage;
    passage.delay = absl::Milliseconds(1);
    if (const auto found = bytes_per_second.find(from); found != bytes_per_second.end())
      passage.bytes_per_second = found->second;
    if (std::holds_alternative<wire::ChunkPiece>(message) && from == breaks &&
        --pieces_until_break == 0) {
      passage.broken = absl::UnavailableError("cut off");
    }
    return passage;
  }
  std::map<wire::WorkerId, double> bytes_per_second;
  wire::WorkerId unreachable, breaks;
  int pieces_until_break = 0;
};

class WeightsWorld : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
    std::ranges::replace(name, '/', '_');
    folder_ = testing::TempDir() + "/weights_" + name;
    std::filesystem::remove_all(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::shared_ptr<model::BlobCache> OpenCache(const std::string& name,
                                              uint64_t max_bytes = 1u << 30) {
    auto cache = model::BlobCache::Open({.folder = absl::StrCat(folder_, "/", name),
                                         .max_bytes = max_bytes,
                                         .min_free_bytes = 0,
                                         .now = [] { return absl::FromUnixSeconds(1); },
                                         .free_bytes = nullptr});
    EXPECT_TRUE(cache.ok()) << cache.status();
    return *cache;
  }
  model::BlobStore OpenStore(const std::string& name) {
    return model::BlobStore(OpenCache(name), std::make_shared<model::LocalFiles>());
  }
  static void Put(model::BlobCache& cache, const std::string& content) {
    const auto writer = cache.Write(model::BlobOf(BytesOf(content)));
    ASSERT_TRUE(writer.ok()) << writer.status();
    for (const uint64_t i : (*writer)->MissingChunks()) {
      ASSERT_TRUE(
          (*writer)
              ->WriteChunk(i, BytesOf(content).subspan(i * model::kChunkBytes,
                                                       model::ChunkBytes(content.size(), i)))
              .ok());
    }
    ASSERT_TRUE((*writer)->Finish().ok());
  }

  struct Node {
    std::unique_ptr<SimulatedExecutor> executor, files;
    std::unique_ptr<wire::MemoryTransport> transport;
    std::unique_ptr<wire::WeightsServer> server;
  };
  Node& AddNode(const std::string& name) {
    Node& node = nodes_[name];
    node.server.reset();
    node.transport.reset();
    node.executor = time_.MakeExecutor();
    node.files = time_.MakeExecutor();
    node.transport = network_.AddNode(name, {name + ":1"}, *node.executor);
    return node;
  }
  Node& Serve(const std::string& name, model::BlobStore store) {
    Node& node = AddNode(name);
    node.server = std::make_unique<wire::WeightsServer>(
        wire::WeightsServerOptions{wire::OurVersion("test"), name}, std::move(store),
        *node.executor, *node.files);
    node.transport->Listen(*node.server);
    return node;
  }
  ScriptedSource& Script(const std::string& name) {
    auto& source = scripted_.emplace_back(std::make_unique<ScriptedSource>());
    AddNode(name).transport->Listen(*source);
    return *source;
  }
  static wire::Peer PeerOf(const std::string& name) {
    wire::Peer peer;
    peer.worker = name;
    peer.name = name;
    peer.addresses = {name + ":1"};
    return peer;
  }
  WeightsSurroundings Around(const std::string& name) {
    Node& node = nodes_.at(name);
    return {name,       wire::OurVersion("test"), *node.executor, *node.files,
            *disposal_, *node.transport};
  }

  std::string folder_;
  SimulatedTime time_;
  const std::unique_ptr<SimulatedExecutor> disposal_ = time_.MakeExecutor();  // of all nodes
  SlowNetwork faults_;
  wire::MemoryNetwork network_{&faults_};
  std::vector<std::unique_ptr<ScriptedSource>> scripted_;
  std::map<std::string, Node> nodes_;
};

}  // namespace potluck::worker
