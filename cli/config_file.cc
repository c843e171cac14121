#include "cli/config_file.h"

#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/terminal.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace potluck::cli {
namespace {

constexpr char kConfig[] = "--config", kPrintConfig[] = "--print-config";

// By a flag's long name, or the name of an argument.
CLI::Option* Find(CLI::App& command, const std::string& key) {
  CLI::Option* flag = command.get_option_no_throw("--" + key);
  return flag != nullptr ? flag : command.get_option_no_throw(key);
}

absl::Status Apply(CLI::App& command, const std::string& path) {
  POTLUCK_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path));
  try {
    std::istringstream stream(text);
    for (const CLI::ConfigItem& item : CLI::ConfigTOML().from_config(stream)) {
      CLI::Option* option = item.parents.empty() ? Find(command, item.name) : nullptr;
      if (option == nullptr || !option->get_configurable()) {
        return UsageError(absl::StrCat(path, ": there is no flag ", Printable(item.fullname()),
                                       " of `potluck ", command.get_name(), "`"));
      }
      if (option->count() > 0) continue;
      if (option->get_expected_max() == 0) {  // a flag: on or off
        option->add_result(CLI::ConfigTOML().to_flag(item));
      } else {
        option->add_result(item.inputs);
      }
      option->run_callback();
    }
  } catch (const CLI::Error& error) {
    return UsageError(absl::StrCat(path, ": ", error.what()));
  }
  return absl::OkStatus();
}

}  // namespace

void AddConfigFlags(CLI::App& command) {
  command.add_option(kConfig, "Read flags from a TOML file; those given here win")
      ->type_name("FILE")
      ->configurable(false);
  const std::string meaning = "Print the flags that hold, as such a file, and do nothing else";
  command.add_flag(kPrintConfig, meaning)->configurable(false);
}

absl::Status ApplyConfig(CLI::App& command, bool& printed) {
  const CLI::Option* config = command.get_option_no_throw(kConfig);
  const CLI::Option* print = command.get_option_no_throw(kPrintConfig);
  if (config != nullptr && config->count() > 0)
    POTLUCK_RETURN_IF_ERROR(Apply(command, config->results().front()));
  printed = print != nullptr && print->count() > 0;
  if (printed) std::cout << command.config_to_str(/*default_also=*/true);
  return absl::OkStatus();
}

}  // namespace potluck::cli
