#include "cli/load_options.h"

#include <string>

#include "model/kv/kv_types.h"

namespace potluck::cli {
void AddLoadOptions(CLI::App& command, coordinator::LoadRequest& request) {
  command
      .add_option("--ctx", request.context_length,
                  "Context of a sequence in tokens (default: the model's own up to 8192, or what "
                  "fits)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30));
  command
      .add_option("--parallel", request.parallel,
                  "Sequences at once that memory is kept for; more share it")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command
      .add_option_function<std::string>(
          "--kv-type",
          [&request](const std::string& type) { request.kv_dtype = *model::KvTypeNamed(type); },
          "How keys and values are kept: f16, f32 or q8")
      ->check(CLI::IsMember({"f16", "f32", "q8"}))
      ->default_str("f16");
  command.add_flag("--spread", request.spread,
                   "Use every device that can hold a layer, even where fewer would be faster");
  command.add_option("--layers", request.layers,
                     "Your own split, from 0: desk=0-11,pi4=12-21 (NAME=N is one layer)");
  command
      .add_option("--copies", request.copies,
                  "Devices that keep each layer's weights on disk; 1: no standby")
      ->check(CLI::Range(1, 16))
      ->capture_default_str();
  command
      .add_option("--alias", request.aliases,
                  "Other names that people may ask for it by; the first is the one that is shown")
      ->delimiter(',')
      ->expected(1, 16);
}

}  // namespace potluck::cli
