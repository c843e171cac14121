#include "cli/config_file.h"

#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cli/terminal.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace potluck::cli {
namespace {

constexpr char kConfig[] = "--config", kPrintConfig[] = "--print-config";

// Bounds the depth of a key's dots: toml++ takes the stack for each.
constexpr size_t kMaxTextBytes = size_t{16} << 10;

// By a flag's long name, or the name of an argument.
CLI::Option* Find(CLI::App& command, const std::string& key) {
  CLI::Option* flag = command.get_option_no_throw("--" + key);
  return flag != nullptr ? flag : command.get_option_no_throw(key);
}

bool IsSwitch(const CLI::Option& option) { return option.get_expected_max() == 0; }

// As it would stand on the command line. Nothing for tables, lists and dates.
std::optional<std::string> WordOf(const toml::node& value) {
  if (const auto* text = value.as_string()) return text->get();
  if (const auto* number = value.as_integer()) return absl::StrCat(number->get());
  if (const auto* on = value.as_boolean()) return on->get() ? "true" : "false";
  if (const auto* number = value.as_floating_point()) {
    std::array<char, 64> digits;
    const auto end = std::to_chars(digits.begin(), digits.end(), number->get()).ptr;
    return std::string(digits.begin(), end);
  }
  return std::nullopt;
}

absl::StatusOr<std::vector<std::string>> WordsOf(const toml::node& value) {
  std::vector<std::string> words;
  const auto add = [&](const toml::node& item) -> absl::Status {
    const std::optional<std::string> word = WordOf(item);
    if (!word.has_value()) return UsageError("takes a text, a number, true or false, or a list");
    if (std::ranges::any_of(*word, [](unsigned char c) { return absl::ascii_iscntrl(c); }))
      return UsageError("holds control characters");
    if (word->empty()) return UsageError("has no value: leave the line out");
    words.push_back(*word);
    return absl::OkStatus();
  };
  if (const toml::array* list = value.as_array()) {
    for (const toml::node& item : *list) POTLUCK_RETURN_IF_ERROR(add(item));
    if (words.empty()) return UsageError("has no value: leave the line out");
  } else {
    POTLUCK_RETURN_IF_ERROR(add(value));
  }
  return words;
}

absl::Status Apply(CLI::Option& option, const toml::node& value) {
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<std::string> words, WordsOf(value));
  if (IsSwitch(option) && !value.is_boolean()) return UsageError("is true or false");
  if (option.count() > 0) return absl::OkStatus();
  option.add_result(words);
  const auto is_list = [](const std::string& word) {
    return word.starts_with('[') && word.ends_with(']');
  };
  // CLI11 takes a word in brackets for a list of words, wherever it takes several.
  if (option.get_allow_extra_args() && std::ranges::any_of(option.results(), is_list))
    return UsageError("holds a text in brackets");
  option.run_callback();
  return absl::OkStatus();
}

// Appends the value for which WordOf() gives that word.
void Append(const std::string& word, toml::array& list) {
  const auto push_if_same = [&](auto number) {
    const bool is_same = WordOf(toml::value(number)) == word;
    if (is_same) list.push_back(number);
    return is_same;
  };
  int64_t whole;
  double real;
  if (absl::SimpleAtoi(word, &whole) && push_if_same(whole)) return;
  if (absl::SimpleAtod(word, &real) && std::isfinite(real) && push_if_same(real)) return;
  list.push_back(word);
}

}  // namespace

absl::Status ApplyConfigText(CLI::App& command, const std::string& path, const std::string& text) {
  if (text.size() > kMaxTextBytes)
    return UsageError(absl::StrCat(path, " is too long for a file of flags"));
  try {
    for (const auto& [name, value] : toml::parse(text)) {
      const std::string key(name.str());
      CLI::Option* option = value.is_table() ? nullptr : Find(command, key);
      if (option == nullptr || !option->get_configurable()) {
        return UsageError(absl::StrCat(path, ": there is no flag ", Printable(key), " of `potluck ",
                                       command.get_name(), "`"));
      }
      const absl::Status applied = Apply(*option, value);
      if (!applied.ok())
        return UsageError(absl::StrCat(path, ": ", Printable(key), " ", applied.message()));
    }
  } catch (const CLI::Error& error) {
    return UsageError(absl::StrCat(path, ": ", error.what()));
  } catch (const toml::parse_error& error) {
    return UsageError(absl::StrCat(path, ", line ", error.source().begin.line, ": ",
                                   Printable(error.description())));
  }
  return absl::OkStatus();
}

std::string ConfigText(const CLI::App& command) {
  std::ostringstream text;
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_configurable()) continue;
    toml::table line;
    const std::string key = option->get_single_name();
    if (IsSwitch(*option)) {
      line.insert(key, option->count() > 0 && option->as<bool>());
    } else {
      toml::array list;
      const bool is_given = option->count() > 0;
      for (const std::string& word :
           is_given ? option->reduced_results() : std::vector{option->get_default_str()}) {
        if (!word.empty()) Append(word, list);
      }
      if (list.empty()) continue;
      if (list.size() == 1) {
        line.insert(key, list.front());
      } else {
        line.insert(key, list);
      }
    }
    text << toml::toml_formatter(line, toml::toml_formatter::default_flags &
                                           ~toml::format_flags::allow_literal_strings)
         << '\n';
  }
  return text.str();
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
