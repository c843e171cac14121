// Log lines, one per event, for people and for machines: logfmt or JSON.
//
//   Log(LogLevel::kInfo, "worker joined", {{"worker", id}, {"devices", 2}});
//   -> time=2026-03-01T10:00:00.123Z level=info event="worker joined" worker=8f3a devices=2
//
// An event is a fixed phrase and its fields are what differs, so that lines can be counted. An
// event that repeats often is cut short and its later lines say how many were left out. Prompts and
// answers never go into a log. Thread-safe.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace potluck {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError };
enum class LogFormat : uint8_t { kLogfmt, kJson };

// "debug", "info", "warning", "error"; "logfmt", "json". InvalidArgument names the choices.
absl::StatusOr<LogLevel> ParseLogLevel(std::string_view text);
absl::StatusOr<LogFormat> ParseLogFormat(std::string_view text);

class LogField {
 public:
  LogField(std::string_view key, std::string_view value) : key_(key), value_(value) {}
  LogField(std::string_view key, const std::string& value) : key_(key), value_(value) {}
  LogField(std::string_view key, const char* value) : key_(key), value_(value) {}
  LogField(std::string_view key, const absl::Status& status)
      : key_(key), value_(status.ToString()) {}
  LogField(std::string_view key, absl::Duration value)
      : key_(key), value_(absl::FormatDuration(value)) {}
  template <std::integral T>
  LogField(std::string_view key, T value)
      : key_(key), value_(std::to_string(value)), is_number_(true) {}
  LogField(std::string_view key, double value);

  std::string_view key() const { return key_; }
  const std::string& value() const { return value_; }
  bool is_number() const { return is_number_; }

 private:
  std::string_view key_;
  std::string value_;
  bool is_number_ = false;
};

struct LogOptions {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kLogfmt;
  std::function<absl::Time()> now;              // of the wall clock
  std::function<void(std::string_view)> write;  // takes a whole line, its end included
  // Of one event, so many lines per interval.
  int burst = 20;
  absl::Duration interval = absl::Seconds(10);
};

// Until this is called nothing is logged. To be called before other threads log.
void ConfigureLog(LogOptions options);

void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});

}  // namespace potluck
