// potluck cache: the weights that this machine's workers have fetched.
#include <cstdlib>
#include <iostream>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <unordered_set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/byte_size.h"
#include "cli/command.h"
#include "cli/environment.h"
#include "cli/terminal.h"
#include "common/status_macros.h"
#include "model/store/blob_cache.h"
#include "worker/weights/kept_manifests.h"

namespace potluck::cli {
namespace {

using nlohmann::ordered_json;

struct CacheOptions {
  std::string folder;
  std::string max_size;
  bool json = false;
};

std::string SizeText(uint64_t bytes) {
  return bytes < (uint64_t{1} << 30)
             ? absl::StrFormat("%.1f MiB", static_cast<double>(bytes) / (1 << 20))
             : absl::StrFormat("%.2f GiB", static_cast<double>(bytes) / (1 << 30));
}

absl::StatusOr<std::shared_ptr<model::BlobCache>> OpenCache(const CacheOptions& options) {
  const std::string folder = options.folder.empty() ? DefaultCacheFolder() : options.folder;
  return model::BlobCache::Open({.folder = folder, .now = [] { return absl::Now(); }});
}

absl::Status List(const CacheOptions& options) {
  POTLUCK_ASSIGN_OR_RETURN(const auto cache, OpenCache(options));
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<model::CachedBlob> blobs, cache->List());
  uint64_t bytes = 0, pinned_bytes = 0;
  ordered_json list = ordered_json::array();
  for (const model::CachedBlob& blob : blobs) {
    bytes += blob.size_bytes;
    if (blob.pinned) pinned_bytes += blob.size_bytes;
    const std::string used =
        absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", blob.last_used, absl::UTCTimeZone());
    if (options.json) {
      list.push_back({{"id", blob.id.ToHex()},
                      {"bytes", blob.size_bytes},
                      {"last_used", used},
                      {"partial", blob.partial},
                      {"pinned", blob.pinned}});
    } else {
      absl::PrintF("%s  %12s  %s%s%s\n", blob.id.ToHex(), SizeText(blob.size_bytes), used,
                   blob.partial ? "  partial" : "", blob.pinned ? "  in use" : "");
    }
  }
  if (options.json) {
    std::cout << ordered_json{{"folder", cache->folder()},
                              {"bytes", bytes},
                              {"pinned_bytes", pinned_bytes},
                              {"blobs", std::move(list)}}
                     .dump(2, ' ', false, ordered_json::error_handler_t::replace)
              << "\n";
  } else {
    absl::PrintF("%d blobs, %s, %s in use, in %s\n", blobs.size(), SizeText(bytes),
                 SizeText(pinned_bytes), cache->folder());
  }
  return absl::OkStatus();
}

// Manifests of models of which no weights are left. How many they were.
absl::StatusOr<int> RemoveManifests(model::BlobCache& cache) {
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<model::CachedBlob> left, cache.List());
  std::unordered_set<Sha256Digest> ids;
  for (const model::CachedBlob& blob : left) ids.insert(blob.id);
  return worker::KeptManifests(FetchedManifestsFolder(cache.folder())).RemoveAllWithout(ids);
}

absl::Status Prune(const CacheOptions& options, uint64_t to_bytes) {
  POTLUCK_ASSIGN_OR_RETURN(const auto cache, OpenCache(options));
  POTLUCK_ASSIGN_OR_RETURN(const model::PruneResult result, cache->Prune(to_bytes));
  int removed_manifests = 0;
  if (to_bytes == 0) {
    POTLUCK_ASSIGN_OR_RETURN(removed_manifests, RemoveManifests(*cache));
  }
  if (options.json) {
    std::cout << ordered_json{{"removed_manifests", removed_manifests},
                              {"removed_blobs", result.removed_blobs},
                              {"removed_bytes", result.removed_bytes},
                              {"kept_blobs", result.kept_blobs},
                              {"kept_bytes", result.kept_bytes},
                              {"pinned_blobs", result.pinned_blobs},
                              {"pinned_bytes", result.pinned_bytes}}
                     .dump(2)
              << "\n";
    return absl::OkStatus();
  }
  absl::PrintF("removed %d blobs, %s; %d are left, %s\n", result.removed_blobs,
               SizeText(result.removed_bytes), result.kept_blobs, SizeText(result.kept_bytes));
  if (result.pinned_blobs > 0 && result.kept_bytes > to_bytes) {
    absl::PrintF("%d blobs, %s, are in use by running workers and stay\n", result.pinned_blobs,
                 SizeText(result.pinned_bytes));
  }
  return absl::OkStatus();
}

}  // namespace

void AddCacheCommand(CLI::App& app, Command& command) {
  auto options = std::make_shared<CacheOptions>();
  CLI::App* cache = app.add_subcommand("cache", "Show or shrink the cache of fetched weights");
  cache->require_subcommand(1);
  cache->fallthrough();
  cache->add_option("--cache-dir", options->folder,
                    "The cache's folder (default: $XDG_CACHE_HOME/potluck or ~/.cache/potluck)");
  cache->add_flag("--json", options->json, "Print one JSON object");
  cache->footer(
      "Examples:\n  potluck cache ls\n  potluck cache prune --max-size 20GiB\n  potluck cache "
      "clear");
  CLI::App* list = cache->add_subcommand("ls", "List what is there, the longest unused first");
  list->callback([options, &command] { command = [options] { return List(*options); }; });
  CLI::App* prune = cache->add_subcommand("prune",
                                          "Remove the longest unused until --max-size are left, "
                                          "but nothing that a running worker needs");
  prune->add_option("--max-size", options->max_size, "How much to leave: 20GiB, 500MiB")
      ->required();
  prune->callback([options, &command] {
    command = [options]() -> absl::Status {
      const absl::StatusOr<int64_t> to_bytes = ParseByteSize(options->max_size);
      if (!to_bytes.ok())
        return UsageError(absl::StrCat("--max-size ", to_bytes.status().message()));
      return Prune(*options, static_cast<uint64_t>(*to_bytes));
    };
  });
  CLI::App* clear = cache->add_subcommand("clear", "Remove all that no running worker needs");
  clear->callback([options, &command] { command = [options] { return Prune(*options, 0); }; });
}

}  // namespace potluck::cli
