#include "worker/weights/own_files.h"

#include <filesystem>
#include <span>
#include <utility>

namespace potluck::worker {
namespace {

namespace fs = std::filesystem;

// Whether its first document, a file's header or a folder's config, is the manifest's.
bool BeginsAs(const model::Manifest& manifest, const model::ModelFile& file) {
  const model::ManifestDocument& first = manifest.documents.front();
  if (file.gguf != nullptr)
    return model::BlobOf(file.gguf->parts().front().header).id == first.blob.id;
  const absl::StatusOr<std::string> text = file.folder->ReadDocument(first.name);
  return text.ok() &&
         model::BlobOf(std::as_bytes(std::span(text->data(), text->size()))).id == first.blob.id;
}

void Find(const model::Manifest& manifest, const std::string& folder,
          const model::ManifestCache& manifests, model::LocalFiles& files,
          const std::function<bool()>& cancelled) {
  for (const model::IndexedManifest& known : manifests.All()) files.Add(known);
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (const fs::directory_iterator end; !error && entry != end; entry.increment(error)) {
    if (cancelled()) return;
    std::error_code unknown;
    if (entry->path().extension() != ".gguf" && !entry->is_directory(unknown)) continue;
    const absl::StatusOr<model::ModelFile> file = model::OpenModelFile(entry->path().string());
    if (!file.ok() || !BeginsAs(manifest, *file)) continue;
    const auto indexed = manifests.Get(*file, {.num_threads = 1, .cancelled = cancelled});
    if (indexed.ok()) files.Add(*indexed);
  }
}

}  // namespace

OwnFiles::OwnFiles(std::string models_folder, model::ManifestCache manifests,
                   std::shared_ptr<model::LocalFiles> files, Executor& reading)
    : models_folder_(std::move(models_folder)),
      manifests_(std::move(manifests)),
      files_(std::move(files)),
      reading_(reading) {}

void OwnFiles::LookFor(std::shared_ptr<const model::Manifest> manifest) {
  reading_.Post([manifest = std::move(manifest), folder = models_folder_, manifests = manifests_,
                 files = files_, cancelled = cancelled_] {
    Find(*manifest, folder, manifests, *files, [&] { return cancelled->load(); });
  });
}

}  // namespace potluck::worker
