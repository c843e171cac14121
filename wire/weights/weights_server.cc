#include "wire/weights/weights_server.h"

#include <deque>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "model/store/blob.h"
#include "wire/version.h"

namespace potluck::wire {
namespace {

constexpr size_t kPieceBytes = size_t{1} << 20;
const absl::Duration kHelloTime = absl::Seconds(10);

struct ReadChunk {
  absl::Status status;
  std::string bytes;
};

ReadChunk Read(const model::BlobStore& store, const ChunkRequest& request) {
  ReadChunk read;
  if (request.index < 0) {
    read.status = absl::InvalidArgumentError(absl::StrCat("there is no chunk ", request.index));
    return read;
  }
  read.bytes.resize(model::kChunkBytes);
  const absl::StatusOr<uint64_t> bytes =
      store.ReadChunk(Sha256Digest{request.blob}, request.index,
                      std::as_writable_bytes(std::span(read.bytes.data(), read.bytes.size())));
  read.status = bytes.status();
  read.bytes.resize(bytes.ok() ? *bytes : 0);
  return read;
}

}  // namespace

class WeightsServer::ServedLink final : public LinkHandler,
                                        public std::enable_shared_from_this<ServedLink> {
 public:
  ServedLink(WeightsServer& server, std::unique_ptr<Link> link)
      : server_(server), link_(std::move(link)), hello_timer_(server.executor_) {}

  void Start() {
    hello_timer_.Start(kHelloTime, [this] {
      End(absl::DeadlineExceededError("no hello came on a weights link"));
    });
  }

  void OnMessage(Message message) override {
    if (closed_) return;
    if (absl::Status status = Handle(std::move(message)); !status.ok()) End(std::move(status));
  }
  void OnWritable() override {
    writable_ = true;
    AnswerNext();
  }
  void OnClosed(absl::Status /*why*/) override {
    closed_ = true;
    server_.Forget(*this);
  }

 private:
  using Request = std::variant<ManifestRequest, ChunkRequest>;

  absl::Status Handle(Message message) {
    if (hello_timer_.running()) {
      const auto* hello = std::get_if<WeightsHello>(&message);
      if (hello == nullptr)
        return absl::InvalidArgumentError("a weights link begins with a WeightsHello");
      hello_timer_.Cancel();
      return CheckVersion(server_.options_.version, hello->version, server_.options_.who,
                          "the machine that asks for weights");
    }
    if (waiting_.size() >= kMostWaitingRequests) {
      return absl::InvalidArgumentError(
          absl::StrCat("more than ", kMostWaitingRequests, " requests wait on a weights link"));
    }
    if (const auto* manifest = std::get_if<ManifestRequest>(&message)) {
      waiting_.emplace_back(*manifest);
    } else if (const auto* chunk = std::get_if<ChunkRequest>(&message)) {
      waiting_.emplace_back(*chunk);
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("message ", message.index(), " does not belong on a weights link"));
    }
    AnswerNext();
    return absl::OkStatus();
  }

  void AnswerNext() {
    while (!closed_ && writable_ && !reading_ && !waiting_.empty()) {
      const Request request = waiting_.front();
      waiting_.pop_front();
      if (const auto* manifest = std::get_if<ManifestRequest>(&request)) {
        AnswerManifest(*manifest);
      } else {
        StartReading(std::get<ChunkRequest>(request));
      }
    }
  }

  void AnswerManifest(const ManifestRequest& request) {
    ManifestReply reply{.manifest = request.manifest, .status = {}, .bytes = {}};
    const auto found = server_.manifests_.find(Sha256Digest{request.manifest});
    if (found != server_.manifests_.end()) {
      reply.bytes = found->second;
    } else {
      reply.status = absl::NotFoundError(
          absl::StrCat("there is no manifest ", Sha256Digest{request.manifest}.ToHex(), " here"));
    }
    writable_ = link_->Send(std::move(reply));
  }

  void StartReading(const ChunkRequest& request) {
    reading_ = true;
    server_.files_.Post(
        [weak = weak_from_this(), store = server_.store_, request, &executor = server_.executor_] {
          executor.Post([weak, request, read = Read(*store, request)]() mutable {
            if (const auto self = weak.lock()) self->FinishReading(request, std::move(read));
          });
        });
  }

  void FinishReading(const ChunkRequest& request, ReadChunk read) {
    reading_ = false;
    if (closed_) return;
    server_.sent_bytes_ += static_cast<int64_t>(read.bytes.size());
    ChunkPiece piece{.blob = request.blob,
                     .index = request.index,
                     .status = read.status,
                     .offset = 0,
                     .last = !read.status.ok(),
                     .bytes = {}};
    if (!read.status.ok()) writable_ = link_->Send(piece);
    for (size_t offset = 0; offset < read.bytes.size(); offset += kPieceBytes) {
      piece.offset = static_cast<int64_t>(offset);
      piece.bytes = read.bytes.substr(offset, kPieceBytes);
      piece.last = offset + piece.bytes.size() == read.bytes.size();
      writable_ = link_->Send(piece);
    }
    AnswerNext();
  }

  void End(absl::Status why) {
    closed_ = true;
    link_->Close(std::move(why));
    server_.Forget(*this);
  }

  WeightsServer& server_;
  const std::unique_ptr<Link> link_;
  Timer hello_timer_;
  std::deque<Request> waiting_;
  bool reading_ = false;
  bool writable_ = true;
  bool closed_ = false;
};

WeightsServer::WeightsServer(WeightsServerOptions options, model::BlobStore store,
                             Executor& executor, Executor& files)
    : options_(std::move(options)),
      store_(std::make_shared<const model::BlobStore>(std::move(store))),
      executor_(executor),
      files_(files) {}

WeightsServer::~WeightsServer() = default;

void WeightsServer::AddManifest(const Sha256Digest& address, std::string bytes) {
  manifests_.insert_or_assign(address, std::move(bytes));
}

LinkHandler& WeightsServer::OnLink(LinkKind kind, std::unique_ptr<Link> link) {
  if (kind != LinkKind::kWeights) {
    link->Close(absl::InvalidArgumentError("only weights are served here"));
    return refused_;
  }
  if (links_.size() >= kMostLinks) {
    link->Close(absl::ResourceExhaustedError(
        absl::StrCat(options_.who, " serves weights to ", kMostLinks, " links already")));
    return refused_;
  }
  const auto served = std::make_shared<ServedLink>(*this, std::move(link));
  links_.emplace(served.get(), served);
  served->Start();
  return *served;
}

// In a task of its own: the link may be in the midst of a call.
void WeightsServer::Forget(ServedLink& link) {
  const auto found = links_.find(&link);
  if (found == links_.end()) return;
  executor_.Post([gone = std::move(found->second)] {});
  links_.erase(found);
}

}  // namespace potluck::wire
