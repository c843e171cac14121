#include "model/chat_template/functions.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "model/chat_template/formatting.h"
#include "model/chat_template/operators.h"

namespace potluck::model::jinja {
namespace {

constexpr int64_t kMaxRange = 100'000;  // jinja2's sandbox has the same

absl::StatusOr<Value> Range(Arena& arena, const Arguments& arguments) {
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                           Bind("range", arguments, {"start", "stop", "step"}, 1));
  if (!arguments.named.empty()) return Fail("range takes no named arguments");
  const size_t count = arguments.positional.size();
  for (size_t i = 0; i < count; ++i) {
    if (!bound[i].IsIntegral()) return Fail("range takes whole numbers");
  }
  const int64_t start = count == 1 ? 0 : bound[0].AsInt();
  const int64_t stop = count == 1 ? bound[0].AsInt() : bound[1].AsInt();
  const int64_t step = count == 3 ? bound[2].AsInt() : 1;
  if (step == 0) return Fail("range's step can't be zero");
  std::vector<Value> items;
  int64_t value = start;
  while (step > 0 ? value < stop : value > stop) {
    if (static_cast<int64_t>(items.size()) == kMaxRange) {
      return Fail("a range is longer than ", std::to_string(kMaxRange));
    }
    items.push_back(Value::Int(value));
    if (__builtin_add_overflow(value, step, &value)) break;
  }
  arena.Charge(16 * static_cast<int64_t>(items.size()));
  return arena.List(std::move(items), Kind::kRange);
}

absl::StatusOr<Value> MakeDict(Arena& arena, std::string_view name, const Arguments& arguments) {
  const bool is_namespace = name == "namespace";
  Dict dict;
  if (arguments.positional.size() > 1) return Fail(name, " takes at most 1 argument");
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    if (source.Is(Kind::kDict) || source.Is(Kind::kNamespace)) {
      dict.entries = source.dict->entries;
    } else {
      POTLUCK_ASSIGN_OR_RETURN(const std::vector<Value> pairs, Iterate(arena, source));
      for (const Value& pair : pairs) {
        POTLUCK_ASSIGN_OR_RETURN(const std::vector<Value> entry, Iterate(arena, pair));
        if (entry.size() != 2) return Fail(name, " takes pairs");
        if (!arena.Charge(static_cast<int64_t>(dict.entries.size()))) break;
        dict.Set(entry[0], entry[1]);
      }
    }
  }
  for (const auto& [key, value] : arguments.named) {
    if (is_namespace && key[0] == '_') return Fail("a namespace's names can't begin with '_'");
    dict.Set(arena.String(key, true), value);
  }
  return arena.NewDict(std::move(dict.entries), is_namespace ? Kind::kNamespace : Kind::kDict);
}

// C's strftime in the C locale, written out: the C library's reads the process's locale and zone.
std::string FormatTime(std::string_view format, absl::CivilSecond now) {
  static constexpr std::string_view kDays[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                               "Friday", "Saturday", "Sunday"};
  static constexpr std::string_view kMonths[] = {"January",   "February", "March",    "April",
                                                 "May",       "June",     "July",     "August",
                                                 "September", "October",  "November", "December"};
  const auto weekday = static_cast<int>(absl::GetWeekday(now));  // Monday is 0
  const int day_of_year = static_cast<int>(absl::GetYearDay(absl::CivilDay(now)));
  const int hour12 = now.hour() % 12 == 0 ? 12 : now.hour() % 12;
  std::string out;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      out.push_back(format[i]);
      continue;
    }
    char c = format[++i];
    const bool plain = c == '-' && i + 1 < format.size();  // %-d: without a leading zero
    if (plain) c = format[++i];
    const auto padded = [&](int value, int width) {
      absl::StrAppendFormat(&out, "%0*d", plain ? 1 : width, value);
    };
    switch (c) {
      case 'Y':
        absl::StrAppend(&out, now.year());
        break;
      case 'y':
        padded(static_cast<int>(now.year() % 100), 2);
        break;
      case 'm':
        padded(now.month(), 2);
        break;
      case 'd':
        padded(now.day(), 2);
        break;
      case 'e':
        absl::StrAppendFormat(&out, "%*d", plain ? 1 : 2, now.day());
        break;
      case 'H':
        padded(now.hour(), 2);
        break;
      case 'I':
        padded(hour12, 2);
        break;
      case 'M':
        padded(now.minute(), 2);
        break;
      case 'S':
        padded(now.second(), 2);
        break;
      case 'j':
        padded(day_of_year, 3);
        break;
      case 'p':
        out += now.hour() < 12 ? "AM" : "PM";
        break;
      case 'B':
        out += kMonths[now.month() - 1];
        break;
      case 'b':
      case 'h':
        out += kMonths[now.month() - 1].substr(0, 3);
        break;
      case 'A':
        out += kDays[weekday];
        break;
      case 'a':
        out += kDays[weekday].substr(0, 3);
        break;
      case 'u':
        absl::StrAppend(&out, weekday + 1);
        break;
      case 'w':
        absl::StrAppend(&out, (weekday + 1) % 7);
        break;
      case 'F':
        out += FormatTime("%Y-%m-%d", now);
        break;
      case 'T':
      case 'X':
        out += FormatTime("%H:%M:%S", now);
        break;
      case 'R':
        out += FormatTime("%H:%M", now);
        break;
      case 'D':
      case 'x':
        out += FormatTime("%m/%d/%y", now);
        break;
      case 'c':
        out += FormatTime("%a %b %e %H:%M:%S %Y", now);
        break;
      case 'n':
        out += '\n';
        break;
      case 't':
        out += '\t';
        break;
      case '%':
        out += '%';
        break;
      default:
        out += {'%', c};
    }
  }
  return out;
}

}  // namespace

bool IsGlobalFunction(std::string_view name) {
  constexpr std::string_view kNames[] = {"range", "namespace", "dict", "raise_exception",
                                         "strftime_now"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

absl::StatusOr<Value> CallGlobalFunction(Arena& arena, std::string_view name,
                                         const Arguments& arguments, absl::CivilSecond now) {
  if (name == "range") return Range(arena, arguments);
  if (name == "namespace" || name == "dict") return MakeDict(arena, name, arguments);
  if (name == "raise_exception") {
    POTLUCK_ASSIGN_OR_RETURN(const std::vector<Value> bound, Bind(name, arguments, {"message"}, 1));
    POTLUCK_ASSIGN_OR_RETURN(const Value message, ToText(arena, bound[0]));
    return Fail("the template refuses: ", Printable(message.text->bytes, 500));
  }
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<Value> bound, Bind(name, arguments, {"format"}, 1));
  if (!bound[0].Is(Kind::kString)) return Fail("strftime_now takes a format string");
  const std::string& format = bound[0].text->bytes;
  if (!arena.Charge(40 * static_cast<int64_t>(format.size()))) return Value();
  return arena.String(FormatTime(format, now), false);
}

}  // namespace potluck::model::jinja
