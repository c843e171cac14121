#include "worker/profile/load_by_others.h"

#include <algorithm>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/files.h"
#include "common/text.h"

namespace potluck::worker {
namespace {

constexpr uint64_t kMostBytes = 4 << 20;
// Of the fields of /proc/stat's first line. Guests' time is in user and nice already.
constexpr size_t kUsedFields = 8, kIdle = 3, kWaiting = 4;
// Of /proc/self/stat, counted from the one after the name.
constexpr size_t kUserTime = 11;  // the system's follows
// More ticks than any machine has counted, and few enough to add up.
constexpr int64_t kMostTicks = int64_t{1} << 56;

std::optional<std::vector<int64_t>> Numbers(std::string_view text, size_t first, size_t count) {
  const std::vector<absl::string_view> words =
      absl::StrSplit(ToAbsl(text), ' ', absl::SkipWhitespace());
  std::vector<int64_t> numbers;
  for (size_t i = first; i < first + count; ++i) {
    int64_t number = 0;
    if (i >= words.size() || !absl::SimpleAtoi(words[i], &number)) return std::nullopt;
    if (number < 0 || number > kMostTicks) return std::nullopt;
    numbers.push_back(number);
  }
  return numbers;
}

}  // namespace

std::optional<CpuTimes> ParseCpuTimes(std::string_view stat, std::string_view self_stat) {
  if (!stat.starts_with("cpu ")) return std::nullopt;
  const auto cpu = Numbers(stat.substr(4, stat.find('\n') - 4), 0, kUsedFields);
  // The name is in brackets and may hold anything, brackets too.
  const size_t name_end = self_stat.rfind(')');
  if (!cpu || name_end == self_stat.npos) return std::nullopt;
  const auto own = Numbers(self_stat.substr(name_end + 1), kUserTime, 2);
  if (!own) return std::nullopt;
  CpuTimes times{.idle = (*cpu)[kIdle] + (*cpu)[kWaiting], .own = (*own)[0] + (*own)[1]};
  for (const int64_t ticks : *cpu) times.all += ticks;
  return times;
}

CpuLoad LoadBetween(const CpuTimes& before, const CpuTimes& after) {
  const auto all = static_cast<double>(after.all - before.all);
  if (!(all > 0)) return {};
  const auto busy = all - static_cast<double>(after.idle - before.idle);
  const auto own = static_cast<double>(after.own - before.own);
  return {.others = std::clamp((busy - own) / all, 0.0, 1.0),
          .own = std::clamp(own / all, 0.0, 1.0)};
}

CpuLoad LoadMeter::Read() {
  const auto stat = ReadFile("/proc/stat", kMostBytes);
  const auto self_stat = ReadFile("/proc/self/stat", kMostBytes);
  if (!stat.ok() || !self_stat.ok()) return {};
  const std::optional<CpuTimes> now = ParseCpuTimes(*stat, *self_stat);
  const CpuLoad load = last_ && now ? LoadBetween(*last_, *now) : CpuLoad();
  last_ = now;
  return load;
}

}  // namespace potluck::worker
