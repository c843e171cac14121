// How a model is to be loaded: the flags that `up` and `load` share.
#pragma once

#include <CLI/CLI.hpp>

#include "coordinator/api/load_request.h"

namespace potluck::cli {

// --ctx, --parallel, --kv-type, --spread, --layers, --copies, --alias.
void AddLoadOptions(CLI::App& command, coordinator::LoadRequest& request);

}  // namespace potluck::cli
