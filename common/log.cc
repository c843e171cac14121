#include "common/log.h"

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/mutex.h"
#include "common/text.h"

namespace potluck {
namespace {

constexpr std::string_view kLevels[] = {"debug", "info", "warning", "error"};

// What was written of an event since its interval began.
struct Repeats {
  absl::Time since = absl::InfinitePast();
  int lines = 0;
  int64_t left_out = 0;
};

struct Logger {
  Mutex mutex;
  LogOptions options ABSL_GUARDED_BY(mutex);
  std::map<std::string, Repeats, std::less<>> seen ABSL_GUARDED_BY(mutex);  // by event
};

Logger& TheLogger() {
  static Logger& logger = *new Logger;  // never destroyed: threads may log to the very end
  return logger;
}

// In double quotes, with what would end the line or the string escaped. JSON's rules, which logfmt
// readers take, too.
std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  while (!text.empty()) {
    char32_t code_point = 0;
    const int length = DecodeUtf8(text, &code_point);
    if (length == 0) {
      quoted += "\\ufffd";
      text.remove_prefix(1);
      continue;
    }
    const std::string_view character = text.substr(0, static_cast<size_t>(length));
    if (code_point == '"' || code_point == '\\') {
      absl::StrAppend(&quoted, "\\", ToAbsl(character));
    } else if (code_point == '\n') {
      quoted += "\\n";
    } else if (code_point < 0x20 || code_point == 0x7f) {
      absl::StrAppendFormat(&quoted, "\\u%04x", static_cast<uint32_t>(code_point));
    } else {
      quoted += character;
    }
    text.remove_prefix(static_cast<size_t>(length));
  }
  return quoted + "\"";
}

bool IsPlainWord(std::string_view text) {
  if (text.empty()) return false;
  for (const char c : text) {
    if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7f) return false;
  }
  return true;
}

std::string Line(const LogOptions& options, LogLevel level, absl::Time now, std::string_view event,
                 std::initializer_list<LogField> fields, int64_t left_out) {
  const bool json = options.format == LogFormat::kJson;
  std::string line = json ? "{" : "";
  const auto add = [&](std::string_view key, std::string_view value, bool is_number) {
    if (line.size() > 1) line += json ? "," : " ";
    if (json) {
      absl::StrAppend(&line, Quoted(key), ":", is_number ? std::string(value) : Quoted(value));
    } else {
      absl::StrAppend(&line, ToAbsl(key), "=",
                      IsPlainWord(value) ? std::string(value) : Quoted(value));
    }
  };
  add("time", absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", now, absl::UTCTimeZone()), false);
  add("level", kLevels[static_cast<int>(level)], false);
  add("event", event, false);
  for (const LogField& field : fields) add(field.key(), field.value(), field.is_number());
  if (left_out > 0) add("left_out", std::to_string(left_out), true);
  return line + (json ? "}\n" : "\n");
}

}  // namespace

absl::StatusOr<LogLevel> ParseLogLevel(std::string_view text) {
  for (int i = 0; i < static_cast<int>(std::size(kLevels)); ++i) {
    if (text == kLevels[i]) return static_cast<LogLevel>(i);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", Printable(text), "\" is no log level; choose debug, info, warning or error"));
}

absl::StatusOr<LogFormat> ParseLogFormat(std::string_view text) {
  if (text == "logfmt") return LogFormat::kLogfmt;
  if (text == "json") return LogFormat::kJson;
  return absl::InvalidArgumentError(
      absl::StrCat("\"", Printable(text), "\" is no log format; choose logfmt or json"));
}

// JSON knows neither NaN nor infinity.
LogField::LogField(std::string_view key, double value)
    : key_(key), value_(absl::StrFormat("%.6g", value)), is_number_(value - value == 0) {}

void ConfigureLog(LogOptions options) {
  Logger& logger = TheLogger();
  MutexLock lock(logger.mutex);
  logger.options = std::move(options);
  logger.seen.clear();
}

void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  Logger& logger = TheLogger();
  MutexLock lock(logger.mutex);
  if (!logger.options.write || level < logger.options.level) return;
  const absl::Time now = logger.options.now();
  auto found = logger.seen.find(event);
  if (found == logger.seen.end()) found = logger.seen.emplace(event, Repeats()).first;
  Repeats& repeats = found->second;
  if (now - repeats.since >= logger.options.interval) {
    repeats.since = now;
    repeats.lines = 0;
  }
  if (++repeats.lines > logger.options.burst) {
    ++repeats.left_out;
    return;
  }
  logger.options.write(
      Line(logger.options, level, now, event, fields, std::exchange(repeats.left_out, 0)));
}

}  // namespace potluck
