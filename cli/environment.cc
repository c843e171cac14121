#include "cli/environment.h"

#include <cstdlib>

namespace potluck::cli {
namespace {

// Source: XDG Base Directory Specification 0.8.
std::string BaseFolder(const char* name, const char* below_home) {
  return EnvironmentOr(name, EnvironmentOr("HOME", ".") + below_home);
}

}  // namespace

std::string EnvironmentOr(const char* name, const std::string& otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

std::string DefaultModelsFolder() {
  return BaseFolder("XDG_DATA_HOME", "/.local/share") + "/potluck/models";
}

std::string DefaultCacheFolder() { return BaseFolder("XDG_CACHE_HOME", "/.cache") + "/potluck"; }

std::string ManifestsFolder(const std::string& cache_folder) { return cache_folder + "/manifests"; }

std::string FetchedManifestsFolder(const std::string& cache_folder) {
  return cache_folder + "/fetched-manifests";
}

std::string DefaultStateFolder() {
  return BaseFolder("XDG_STATE_HOME", "/.local/state") + "/potluck";
}

std::string CoordinatorUrlFile() { return DefaultStateFolder() + "/coordinator.url"; }

}  // namespace potluck::cli
