#include "model/store/indexed_manifest.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <filesystem>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace potluck::model {
namespace {

constexpr size_t kMaxModelNameBytes = 200;

std::vector<std::shared_ptr<const MappedFile>> WeightFiles(const ModelFile& model) {
  std::vector<std::shared_ptr<const MappedFile>> files;
  const auto add = [&](const std::shared_ptr<const MappedFile>& file) {
    if (file != nullptr && std::ranges::count(files, file) == 0) files.push_back(file);
  };
  if (model.gguf != nullptr) {
    for (const GgufFile::Part& part : model.gguf->parts()) add(part.file);
  } else {
    for (const SafetensorsTensor& tensor : model.folder->listed()) add(tensor.file);
  }
  return files;
}

std::string DocumentPath(const ModelFile& model, std::string_view name) {
  return (std::filesystem::path(model.folder->path()) / name).string();
}

// Bytes that become a blob.
struct Piece {
  std::span<const std::byte> bytes;
  const MappedFile* file = nullptr;  // null: in memory
  std::vector<Sha256Digest> chunks;
};

class ManifestMaker {
 public:
  explicit ManifestMaker(const ModelFile& model) : model_(model), files_(WeightFiles(model)) {}

  absl::StatusOr<IndexedManifest> Make(const MakeManifestOptions& options) {
    POTLUCK_RETURN_IF_ERROR(model_.config.status());
    POTLUCK_ASSIGN_OR_RETURN(result_.files, SourceFilesOf(model_));
    result_.manifest.name = ManifestName(model_);
    result_.manifest.format = model_.format;
    if (model_.gguf != nullptr) {
      AddHeaders();
    } else {
      POTLUCK_RETURN_IF_ERROR(AddDocuments());
    }
    for (const WeightTensor& tensor : model_.weights->tensors()) AddTensor(tensor);
    POTLUCK_RETURN_IF_ERROR(Hash(options));
    POTLUCK_ASSIGN_OR_RETURN(const std::vector<SourceFile> after, SourceFilesOf(model_));
    for (const SourceFile& file : after) {
      const absl::StatusOr<FileIdentity> now = IdentifyFile(file.path);
      if (after != result_.files || !now.ok() || *now != file.identity) {
        return absl::AbortedError(
            absl::StrCat(file.path, " was changed while it was being read; try again"));
      }
    }
    return Finish();
  }

 private:
  // Adds bytes of a mapped weights file; the blob is filled in by Finish().
  void AddPiece(std::span<const std::byte> bytes, const MappedFile& file) {
    const auto found =
        std::ranges::find_if(files_, [&](const auto& f) { return f.get() == &file; });
    result_.places.push_back({static_cast<uint32_t>(found - files_.begin()),
                              static_cast<uint64_t>(bytes.data() - file.bytes().data())});
    pieces_.push_back({bytes, &file, std::vector<Sha256Digest>(NumChunks(bytes.size()))});
  }

  void AddHeaders() {
    for (const GgufFile::Part& part : model_.gguf->parts()) {
      const std::string name = GgufHeaderName(result_.manifest.documents.size());
      result_.manifest.documents.push_back({name, {}});
      AddPiece(part.header, *part.file);
    }
  }

  absl::Status AddDocuments() {
    for (const std::string_view name : kFolderDocuments) {
      if (!model_.folder->HasDocument(name)) continue;
      POTLUCK_ASSIGN_OR_RETURN(std::string text, model_.folder->ReadDocument(name));
      if (text.empty()) continue;
      texts_.push_back(std::move(text));
      const std::string path = AbsolutePath(DocumentPath(model_, name));
      const auto found = std::ranges::find(result_.files, path, &SourceFile::path);
      if (found == result_.files.end()) {
        return absl::AbortedError(absl::StrCat(path, " appeared just now; try again"));
      }
      result_.manifest.documents.push_back({std::string(name), {}});
      result_.places.push_back({static_cast<uint32_t>(found - result_.files.begin()), 0});
      pieces_.push_back({std::as_bytes(std::span(texts_.back().data(), texts_.back().size())),
                         nullptr, std::vector<Sha256Digest>(NumChunks(texts_.back().size()))});
    }
    return absl::OkStatus();
  }

  void AddTensor(const WeightTensor& tensor) {
    if (tensor.experts.empty()) AddPiece(tensor.bytes, *tensor.file);
    for (const WeightBytes& expert : tensor.experts) AddPiece(expert.bytes, *expert.file);
    const size_t blobs = std::max<size_t>(1, tensor.experts.size());
    result_.manifest.tensors.push_back(
        {tensor.name, tensor.dtype, tensor.shape, std::vector<Blob>(blobs)});
  }

  // Threads take chunks from one list, so that one huge tensor keeps all of them busy.
  absl::Status Hash(const MakeManifestOptions& options) {
    struct Chunk {
      Piece* piece;
      uint64_t index;
    };
    std::vector<Chunk> chunks;
    for (Piece& piece : pieces_) {
      for (uint64_t i = 0; i < piece.chunks.size(); ++i) chunks.push_back({&piece, i});
    }
    std::atomic<size_t> next = 0;
    std::atomic<bool> stop = options.cancelled && options.cancelled();
    const auto hash_one = [&] {
      const size_t taken = next.fetch_add(1);
      if (taken >= chunks.size() || stop) return false;
      const auto& [piece, index] = chunks[taken];
      const auto bytes =
          piece->bytes.subspan(index * kChunkBytes, ChunkBytes(piece->bytes.size(), index));
      piece->chunks[index] = Sha256(bytes);
      if (piece->file != nullptr) piece->file->DropPages(bytes);
      return true;
    };
    std::vector<std::thread> threads;
    for (int i = 1; i < options.num_threads; ++i) {
      try {
        threads.emplace_back([&] {
          while (hash_one()) {
          }
        });
      } catch (const std::system_error&) {
        break;  // fewer threads do it, too
      }
    }
    while (!stop && hash_one()) {
      if (options.cancelled && options.cancelled()) stop = true;
      if (options.on_progress) {
        options.on_progress(static_cast<double>(std::min(next.load(), chunks.size())) /
                            chunks.size());
      }
    }
    for (std::thread& thread : threads) thread.join();
    return stop ? absl::CancelledError("making the manifest was stopped") : absl::OkStatus();
  }

  absl::StatusOr<IndexedManifest> Finish() {
    size_t next = 0;
    const auto blob = [&] {
      Piece& piece = pieces_[next++];
      return BlobOfChunks(piece.bytes.size(), std::move(piece.chunks));
    };
    for (ManifestDocument& document : result_.manifest.documents) document.blob = blob();
    for (ManifestTensor& tensor : result_.manifest.tensors) {
      for (Blob& part : tensor.blobs) part = blob();
    }
    result_.bytes = SerializeManifest(result_.manifest);
    // A file may hold what a manifest may not: names with control characters, say.
    POTLUCK_ASSIGN_OR_RETURN(result_.manifest, ParseManifest(result_.bytes));
    result_.address = ManifestAddress(result_.bytes);
    return std::move(result_);
  }

  const ModelFile& model_;
  const std::vector<std::shared_ptr<const MappedFile>> files_;
  std::deque<std::string> texts_;
  std::deque<Piece> pieces_;
  IndexedManifest result_;
};

}  // namespace

std::string ManifestName(const ModelFile& model) {
  return Printable(model.name, kMaxModelNameBytes);
}

std::vector<const Blob*> AllBlobs(const Manifest& manifest) {
  std::vector<const Blob*> blobs;
  for (const ManifestDocument& document : manifest.documents) blobs.push_back(&document.blob);
  for (const ManifestTensor& tensor : manifest.tensors) {
    for (const Blob& blob : tensor.blobs) blobs.push_back(&blob);
  }
  return blobs;
}

absl::StatusOr<std::vector<SourceFile>> SourceFilesOf(const ModelFile& model) {
  std::vector<SourceFile> files;
  for (const auto& file : WeightFiles(model)) {
    files.push_back({AbsolutePath(file->path()), file->identity()});
  }
  if (model.folder == nullptr) return files;
  for (const std::string_view name : kFolderDocuments) {
    if (!model.folder->HasDocument(name)) continue;
    const std::string path = DocumentPath(model, name);
    POTLUCK_ASSIGN_OR_RETURN(const FileIdentity identity, IdentifyFile(path));
    files.push_back({AbsolutePath(path), identity});
  }
  return files;
}

absl::StatusOr<IndexedManifest> MakeManifest(const ModelFile& model,
                                             const MakeManifestOptions& options) {
  return ManifestMaker(model).Make(options);
}

}  // namespace potluck::model
