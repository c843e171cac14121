#include "model/store/local_files.h"

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "model/store/blob_bytes.h"

namespace potluck::model {

void LocalFiles::Add(const IndexedManifest& indexed) {
  const std::vector<const Blob*> blobs = AllBlobs(indexed.manifest);
  const MutexLock lock(mutex_);
  for (size_t i = 0; i < blobs.size(); ++i) {
    const BlobPlace& place = indexed.places[i];
    places_.insert_or_assign(blobs[i]->id,
                             Place{indexed.files[place.file], place.offset, blobs[i]->size_bytes});
  }
}

std::optional<LocalFiles::Place> LocalFiles::Find(const Sha256Digest& id) const {
  Place place;
  {
    const MutexLock lock(mutex_);
    const auto found = places_.find(id);
    if (found == places_.end()) return std::nullopt;
    place = found->second;
  }
  const absl::StatusOr<FileIdentity> now = IdentifyFile(place.file.path);
  if (!now.ok() || *now != place.file.identity) return std::nullopt;
  return place;
}

bool LocalFiles::Has(const Blob& blob) const { return Find(blob.id).has_value(); }

absl::StatusOr<WeightBytes> LocalFiles::Map(const Blob& blob) {
  const std::optional<Place> place = Find(blob.id);
  if (!place) {
    return absl::NotFoundError(absl::StrCat("blob ", blob.id.ToHex(), " is in no local file"));
  }
  const MutexLock lock(mutex_);
  std::weak_ptr<const MappedFile>& kept = maps_[place->file.path];
  std::shared_ptr<const MappedFile> file = kept.lock();
  if (file == nullptr || file->identity() != place->file.identity) {
    POTLUCK_ASSIGN_OR_RETURN(file, MappedFile::Open(place->file.path));
    if (file->identity() != place->file.identity) {
      return absl::NotFoundError(absl::StrCat(place->file.path, " has just been changed"));
    }
    kept = file;
  }
  return WeightBytes{file->bytes().subspan(place->offset, place->size_bytes), file};
}

absl::StatusOr<uint64_t> LocalFiles::ReadChunk(const Sha256Digest& id, uint64_t index,
                                               std::span<std::byte> out) const {
  const std::optional<Place> place = Find(id);
  if (!place) {
    return absl::NotFoundError(absl::StrCat("blob ", id.ToHex(), " is in no local file"));
  }
  return ReadBlobChunk(place->file.path, {place->offset, place->size_bytes}, index, out);
}

}  // namespace potluck::model
