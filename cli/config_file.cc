#include "cli/config_file.h"

#include <algorithm>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "cli/terminal.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace potluck::cli {
namespace {

constexpr char kConfig[] = "--config", kPrintConfig[] = "--print-config";

// What --print-config can print so that it is read as the same.
bool IsPlain(const std::string& value) {
  return std::ranges::none_of(
      value, [](char c) { return c == '"' || absl::ascii_iscntrl(static_cast<unsigned char>(c)); });
}

// By a flag's long name, or the name of an argument.
CLI::Option* Find(CLI::App& command, const std::string& key) {
  CLI::Option* flag = command.get_option_no_throw("--" + key);
  return flag != nullptr ? flag : command.get_option_no_throw(key);
}

}  // namespace

absl::Status ApplyConfigText(CLI::App& command, const std::string& path, const std::string& text) {
  try {
    std::istringstream stream(text);
    for (const CLI::ConfigItem& item : CLI::ConfigTOML().from_config(stream)) {
      CLI::Option* option = item.parents.empty() ? Find(command, item.name) : nullptr;
      if (option == nullptr || !option->get_configurable()) {
        return UsageError(absl::StrCat(path, ": there is no flag ", Printable(item.fullname()),
                                       " of `potluck ", command.get_name(), "`"));
      }
      if (!std::ranges::all_of(item.inputs, IsPlain)) {
        return UsageError(absl::StrCat(path, ": the value of ", Printable(item.fullname()),
                                       " holds quotes or control characters"));
      }
      const auto is_empty = [](const std::string& value) { return value.empty(); };
      if (std::ranges::all_of(item.inputs, is_empty)) {
        return UsageError(absl::StrCat(path, ": ", Printable(item.fullname()),
                                       " has no value: leave the line out"));
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

std::string ConfigText(const CLI::App& command) {
  // What has no value is left out: as an empty text it would be one.
  std::istringstream lines(command.config_to_str(/*default_also=*/true));
  std::string text;
  for (std::string line; std::getline(lines, line);) {
    if (!line.ends_with("=\"\"")) absl::StrAppend(&text, line, "\n");
  }
  return text;
}

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
  if (config != nullptr && config->count() > 0) {
    const std::string& path = config->results().front();
    POTLUCK_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path));
    POTLUCK_RETURN_IF_ERROR(ApplyConfigText(command, path, text));
  }
  printed = print != nullptr && print->count() > 0;
  if (printed) std::cout << ConfigText(command);
  return absl::OkStatus();
}

}  // namespace potluck::cli
