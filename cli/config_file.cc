#include "cli/config_file.h"

#include <algorithm>
#include <iostream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
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

// CLI11 takes a # within quotes for a comment's beginning, too. So comments are left out here, and
// it is told of a character for them that no text may have.
constexpr char kNoComment = '\x01';

std::string WithoutComment(const std::string& line) {
  char quote = 0, before = '=';  // a value's quotes come after one of = [ ,
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote != 0) {
      if (c == quote) quote = 0;
    } else if (c == '#') {
      return line.substr(0, i);
    } else if ((c == '"' || c == '\'') &&
               std::string_view("=[,").find(before) != std::string_view::npos) {
      quote = c;
    }
    if (!absl::ascii_isspace(static_cast<unsigned char>(c))) before = c;
  }
  return line;
}

std::vector<CLI::ConfigItem> ItemsOf(const std::string& text) {
  std::istringstream lines(text);
  std::stringstream plain;
  for (std::string line; std::getline(lines, line);) plain << WithoutComment(line) << '\n';
  CLI::ConfigTOML format;
  format.comment(kNoComment);
  return format.from_config(plain);
}

// By a flag's long name, or the name of an argument.
CLI::Option* Find(CLI::App& command, const std::string& key) {
  CLI::Option* flag = command.get_option_no_throw("--" + key);
  return flag != nullptr ? flag : command.get_option_no_throw(key);
}

}  // namespace

absl::Status ApplyConfigText(CLI::App& command, const std::string& path, const std::string& text) {
  if (absl::StrContains(text, kNoComment))
    return UsageError(absl::StrCat(path, " holds control characters: it is no text"));
  try {
    for (const CLI::ConfigItem& item : ItemsOf(text)) {
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
