#include "model/store/manifest_cache.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "model/bounded_json.h"
#include "model/store/private_folder.h"

namespace potluck::model {
namespace {

constexpr uint64_t kMaxEntryBytes = 4 * kMaxManifestBytes;
constexpr char kEnding[] = ".manifest";

// A checksum before the rest: a damaged digest would be a sound manifest of another model.
std::string EntryText(const IndexedManifest& indexed) {
  Json files = Json::array(), places = Json::array();
  for (const SourceFile& file : indexed.files) {
    files.push_back({{"path", file.path},
                     {"inode", file.identity.inode},
                     {"size", file.identity.size_bytes},
                     {"modified_ns", file.identity.modified_ns}});
  }
  for (const BlobPlace& place : indexed.places) {
    places.push_back(Json::array({place.file, place.offset}));
  }
  const std::string body =
      Json{{"files", std::move(files)}, {"places", std::move(places)}, {"manifest", indexed.bytes}}
          .dump(-1, ' ', false, Json::error_handler_t::replace);
  return absl::StrCat(Sha256(body).ToHex(), "\n", body);
}

std::optional<uint64_t> Unsigned(const Json* value) {
  if (value == nullptr || !value->is_number_unsigned()) return std::nullopt;
  return value->get<uint64_t>();
}

bool ReadFiles(const Json& json, std::vector<SourceFile>& files) {
  const Json* list = FindKey(json, "files");
  if (list == nullptr || !list->is_array()) return false;
  for (const Json& item : *list) {
    const auto path = StringValue(FindKey(item, "path"));
    const auto inode = Unsigned(FindKey(item, "inode")), size = Unsigned(FindKey(item, "size"));
    const auto modified = IntValue(FindKey(item, "modified_ns"));
    if (!path || !inode || !size || !modified) return false;
    files.push_back({*path, {.inode = *inode, .size_bytes = *size, .modified_ns = *modified}});
  }
  return true;
}

// One place for each blob, inside its file.
bool ReadPlaces(const Json& json, IndexedManifest& indexed) {
  const Json* list = FindKey(json, "places");
  const std::vector<const Blob*> blobs = AllBlobs(indexed.manifest);
  if (list == nullptr || !list->is_array() || list->size() != blobs.size()) return false;
  for (size_t i = 0; i < blobs.size(); ++i) {
    const Json& item = (*list)[i];
    if (!item.is_array() || item.size() != 2) return false;
    const auto file = Unsigned(&item[0]), offset = Unsigned(&item[1]);
    if (!file || !offset || *file >= indexed.files.size()) return false;
    const uint64_t file_bytes = indexed.files[*file].identity.size_bytes;
    if (*offset > file_bytes || blobs[i]->size_bytes > file_bytes - *offset) return false;
    indexed.places.push_back({static_cast<uint32_t>(*file), *offset});
  }
  return true;
}

std::optional<IndexedManifest> ReadEntry(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxEntryBytes);
  if (!text.ok()) return std::nullopt;
  const size_t line = text->find('\n');
  if (line == std::string::npos) return std::nullopt;
  const std::string_view body = std::string_view(*text).substr(line + 1);
  if (Sha256(body).ToHex() != std::string_view(*text).substr(0, line)) return std::nullopt;
  const absl::StatusOr<Json> json = ParseJsonObject(body, path);
  if (!json.ok()) return std::nullopt;
  IndexedManifest indexed;
  const auto bytes = StringValue(FindKey(*json, "manifest"));
  if (!bytes) return std::nullopt;
  indexed.bytes = *bytes;
  absl::StatusOr<Manifest> manifest = ParseManifest(indexed.bytes);
  if (!manifest.ok()) return std::nullopt;
  indexed.manifest = *std::move(manifest);
  indexed.address = ManifestAddress(indexed.bytes);
  if (!ReadFiles(*json, indexed.files) || !ReadPlaces(*json, indexed)) return std::nullopt;
  return indexed;
}

}  // namespace

absl::StatusOr<IndexedManifest> ManifestCache::Get(const ModelFile& model,
                                                   const MakeManifestOptions& options) const {
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<SourceFile> files, SourceFilesOf(model));
  // One entry for a place on the disk: what is put there later takes its place in the cache, too.
  const std::string where = files.empty() ? model.path : files.front().path;
  const std::string path = absl::StrCat(folder_, "/", Sha256(where).ToHex(), kEnding);
  if (std::optional<IndexedManifest> entry = ReadEntry(path);
      entry && entry->files == files && entry->manifest.name == ManifestName(model)) {
    return *std::move(entry);
  }
  POTLUCK_ASSIGN_OR_RETURN(IndexedManifest made, MakeManifest(model, options));
  if (MakePrivateFolder(folder_).ok()) {
    WriteFileAtomically(path, EntryText(made)).IgnoreError();
  }
  return made;
}

std::vector<IndexedManifest> ManifestCache::All() const {
  std::vector<IndexedManifest> all;
  std::error_code error;
  std::filesystem::directory_iterator entries(folder_, error);
  for (const std::filesystem::directory_iterator end; !error && entries != end;
       entries.increment(error)) {
    const std::string path = entries->path().string();
    if (!path.ends_with(kEnding)) continue;
    std::optional<IndexedManifest> entry = ReadEntry(path);
    const auto unchanged = [](const SourceFile& file) {
      const absl::StatusOr<FileIdentity> now = IdentifyFile(file.path);
      return now.ok() && *now == file.identity;
    };
    if (entry && std::ranges::all_of(entry->files, unchanged)) all.push_back(*std::move(entry));
  }
  return all;
}

}  // namespace potluck::model
