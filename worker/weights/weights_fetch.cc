#include "worker/weights/weights_fetch.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "model/store/manifest.h"
#include "worker/disposal.h"

namespace potluck::worker {
namespace {

constexpr size_t kOpenBlobs = 16;
// While another process of this machine fetches a blob; then it is fetched beside it.
const absl::Duration kShortestWait = absl::Milliseconds(50), kLongestWait = absl::Seconds(1),
                     kPatience = absl::Seconds(30);

}  // namespace

WeightsFetch::WeightsFetch(const WeightsSurroundings& around, model::BlobStore store,
                           std::vector<wire::Peer> sources, const FetchOptions& options)
    : around_(around), store_(std::move(store)), options_(options) {
  SourceEvents& events = *this;
  for (wire::Peer& peer : sources) {
    sources_.push_back(std::make_unique<Source>(around_, std::move(peer), options_.stall_time,
                                                options_.seed + sources_.size(), events));
  }
}

WeightsFetch::~WeightsFetch() = default;

template <typename Work, typename Then>
void WeightsFetch::OnFiles(Work work, Then then) {
  around_.files.Post([&executor = around_.executor, alive = std::weak_ptr(alive_),
                      work = std::move(work), then = std::move(then)]() mutable {
    executor.Post([alive, result = work(), then = std::move(then)]() mutable {
      if (!alive.expired()) then(std::move(result));
    });
  });
}

std::string WeightsFetch::Troubles() const {
  std::string troubles;
  for (const auto& source : sources_) {
    const absl::Status& why = source->dropped() ? source->why_dropped() : source->trouble();
    absl::StrAppend(&troubles, troubles.empty() ? "" : "; ", source->peer().name, ": ",
                    why.ok() ? "has not got it" : ToAbsl(Printable(ToStd(why.message()), 300)));
  }
  return troubles.empty() ? "there is none" : troubles;
}

void WeightsFetch::OnChanged(Source& source) {
  for (Source::Request& request : source.TakeUnanswered()) {
    if (request.is_manifest) continue;  // asked for below
    if (const OpenPtr open = Find(request.digest)) open->todo.push_front(request.index);
  }
  if (manifest_) AskForManifest();
  Pump();
}

// ---- the manifest ----

void WeightsFetch::GetManifest(const Sha256Digest& address,
                               absl::AnyInvocable<void(absl::StatusOr<std::string>)> done) {
  manifest_ = address;
  next_source_ = 0;
  on_manifest_ = std::move(done);
  AskForManifest();
}

// Of one source at a time; of those that cannot be reached now, once they can.
void WeightsFetch::AskForManifest() {
  bool may_come = false;
  for (const auto& source : sources_) {
    if (source->num_requests() > 0) return;  // asked already
    if (source->dropped() || source->Lacks(*manifest_)) continue;
    may_come = true;
    if (!source->usable()) continue;
    source->AskForManifest(*manifest_);
    return;
  }
  if (may_come) return;
  EndManifest(absl::UnavailableError(absl::StrCat("no source gives the model's manifest ",
                                                  manifest_->ToHex(), " (", Troubles(), ")")));
}

void WeightsFetch::OnManifest(Source& source, wire::ManifestReply reply) {
  if (!manifest_) return;
  if (!reply.status.ok()) {
    AskForManifest();
    return;
  }
  OnFiles(
      [bytes = std::move(reply.bytes), wanted = *manifest_]() -> absl::StatusOr<std::string> {
        if (model::ManifestAddress(bytes) == wanted) return bytes;
        return absl::DataLossError("sent another manifest than was asked for");
      },
      [this, &source](absl::StatusOr<std::string> bytes) {
        if (bytes.ok()) {
          EndManifest(std::move(bytes));
        } else {
          source.Drop(bytes.status());
        }
      });
}

void WeightsFetch::EndManifest(absl::StatusOr<std::string> bytes) {
  if (!manifest_) return;
  manifest_.reset();
  around_.executor.Post([alive = std::weak_ptr(alive_), done = std::move(on_manifest_),
                         bytes = std::move(bytes)]() mutable {
    if (!alive.expired()) done(std::move(bytes));
  });
}

// ---- blobs ----

void WeightsFetch::GetBlobs(std::vector<model::Blob> blobs, StoredCallback on_stored,
                            absl::AnyInvocable<void(absl::Status)> done) {
  waiting_.assign(std::make_move_iterator(blobs.begin()), std::make_move_iterator(blobs.end()));
  on_stored_ = std::move(on_stored);
  on_blobs_ = std::move(done);
  Pump();
}

void WeightsFetch::Pump() {
  if (on_blobs_ == nullptr) return;
  while (open_.size() < kOpenBlobs && !waiting_.empty()) {
    const auto open = std::make_shared<Open>();
    open->blob = std::move(waiting_.front());
    waiting_.pop_front();
    open_.push_back(open);
    OpenBlob(open);
  }
  for (const auto& source : sources_) {
    while (source->usable() &&
           source->num_requests() + writing_[source.get()] < options_.chunks_per_source &&
           AskForChunk(*source)) {
    }
  }
  if (open_.empty()) {
    EndBlobs(absl::OkStatus());
  } else if (const absl::Status status = CheckSources(); !status.ok()) {
    EndBlobs(status);
  }
}

void WeightsFetch::OpenBlob(const OpenPtr& open) {
  const bool beside_others = open->waited >= kPatience;
  using Writer = absl::StatusOr<std::shared_ptr<model::BlobWriter>>;
  OnFiles(
      [store = store_, blob = open->blob, beside_others, &disposal = around_.disposal]() -> Writer {
        if (store.files().Has(blob)) return absl::AlreadyExistsError("it is in a local file");
        POTLUCK_ASSIGN_OR_RETURN(auto writer, store.cache()->Write(blob, beside_others));
        return DestroyedOn(disposal, std::move(writer));
      },
      [this, open](Writer writer) { Opened(open, std::move(writer)); });
}

void WeightsFetch::Opened(const OpenPtr& open,
                          absl::StatusOr<std::shared_ptr<model::BlobWriter>> writer) {
  if (on_blobs_ == nullptr) return;
  if (absl::IsAlreadyExists(writer.status())) {
    on_stored_(open->blob.size_bytes);
    Close(open);
    return;
  }
  if (absl::IsUnavailable(writer.status()) && open->waited < kPatience) {
    const absl::Duration wait = std::clamp(open->waited, kShortestWait, kLongestWait);
    open->waited += wait;
    around_.executor.PostAfter(wait, [this, alive = std::weak_ptr(alive_), open] {
      if (!alive.expired() && on_blobs_ != nullptr) OpenBlob(open);
    });
    return;
  }
  if (!writer.ok()) {
    EndBlobs(writer.status());
    return;
  }
  open->writer = *std::move(writer);
  const std::vector<uint64_t> missing = open->writer->MissingChunks();
  open->todo.assign(missing.begin(), missing.end());
  open->missing = missing.size();
  uint64_t bytes = open->blob.size_bytes;
  for (const uint64_t index : missing) bytes -= model::ChunkBytes(open->blob.size_bytes, index);
  if (bytes > 0) on_stored_(bytes);
  if (open->missing == 0) {
    Finish(open);
  } else {
    Pump();
  }
}

bool WeightsFetch::AskForChunk(Source& source) {
  for (const OpenPtr& open : open_) {
    if (open->todo.empty() || source.Lacks(open->blob.id)) continue;
    const uint64_t index = open->todo.front();
    open->todo.pop_front();
    source.AskForChunk(open->blob.id, index, model::ChunkBytes(open->blob.size_bytes, index));
    return true;
  }
  return false;
}

void WeightsFetch::OnChunk(Source& source, const Sha256Digest& blob, uint64_t index,
                           absl::StatusOr<std::string> bytes) {
  const OpenPtr open = Find(blob);
  if (open == nullptr || on_blobs_ == nullptr) return;
  if (!bytes.ok()) {
    open->todo.push_front(index);
    Pump();
    return;
  }
  ++writing_[&source];
  OnFiles(
      [writer = open->writer, index, bytes = *std::move(bytes)] {
        return writer->WriteChunk(index, std::as_bytes(std::span(bytes.data(), bytes.size())));
      },
      [this, open, &source, index](const absl::Status& status) {
        Written(open, source, index, status);
      });
}

void WeightsFetch::Written(const OpenPtr& open, Source& source, uint64_t index,
                           const absl::Status& status) {
  --writing_[&source];
  if (on_blobs_ == nullptr) return;
  if (absl::IsDataLoss(status)) {
    open->todo.push_front(index);
    source.Drop(status);  // and another is asked
  } else if (!status.ok()) {
    EndBlobs(status);
  } else {
    on_stored_(model::ChunkBytes(open->blob.size_bytes, index));
    if (--open->missing == 0) Finish(open);
    Pump();
  }
}

void WeightsFetch::Finish(const OpenPtr& open) {
  OnFiles([writer = open->writer] { return writer->Finish(); },
          [this, open](const absl::Status& status) {
            if (on_blobs_ == nullptr) return;
            if (status.ok()) {
              Close(open);
            } else {
              EndBlobs(status);
            }
          });
}

void WeightsFetch::Close(const OpenPtr& open) {
  std::erase(open_, open);
  Pump();
}

absl::Status WeightsFetch::CheckSources() const {
  for (const OpenPtr& open : open_) {
    const bool may_come =
        open->todo.empty() || std::ranges::any_of(sources_, [&](const auto& source) {
          return !source->dropped() && !source->Lacks(open->blob.id);
        });
    if (may_come) continue;
    return absl::UnavailableError(absl::StrCat("no source is left for ", open->todo.size(),
                                               " chunks of blob ", open->blob.id.ToHex(), " (",
                                               Troubles(), ")"));
  }
  return absl::OkStatus();
}

WeightsFetch::OpenPtr WeightsFetch::Find(const Sha256Digest& blob) const {
  const auto found =
      std::ranges::find_if(open_, [&](const OpenPtr& open) { return open->blob.id == blob; });
  return found == open_.end() ? nullptr : *found;
}

// What is under way still may come; nobody looks at it.
void WeightsFetch::EndBlobs(const absl::Status& status) {
  open_.clear();
  waiting_.clear();
  around_.executor.Post(
      [alive = std::weak_ptr(alive_), done = std::exchange(on_blobs_, nullptr), status]() mutable {
        if (!alive.expired()) done(status);
      });
}

}  // namespace potluck::worker
