// What this user's environment says: the only place that reads it.
#pragma once

#include <string>

namespace potluck::cli {

// The variable's value; `otherwise` where it is empty or not set.
std::string EnvironmentOr(const char* name, const std::string& otherwise);

// Models by name: $XDG_DATA_HOME/potluck/models.
std::string DefaultModelsFolder();
// Fetched weights and manifests, shared by all workers of this user: $XDG_CACHE_HOME/potluck.
std::string DefaultCacheFolder();
// In such a folder: manifests of this machine's own model files, and of models that were fetched.
std::string ManifestsFolder(const std::string& cache_folder);
std::string FetchedManifestsFolder(const std::string& cache_folder);
// Keys and plans: $XDG_STATE_HOME/potluck.
std::string DefaultStateFolder();
// Where this user's coordinator writes the address that it answers at.
std::string CoordinatorUrlFile();

}  // namespace potluck::cli
