#include "common/metrics.h"

#include <dirent.h>
#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/exposer.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <string_view>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/mutex.h"

namespace potluck {
namespace {

std::map<std::string, std::string> AsMap(const MetricLabels& labels) {
  return {labels.begin(), labels.end()};
}

class RealCounter final : public Counter {
 public:
  explicit RealCounter(prometheus::Counter& counter) : counter_(counter) {}
  void Add(double amount) override { counter_.Increment(amount); }

 private:
  prometheus::Counter& counter_;
};

class RealHistogram final : public Histogram {
 public:
  explicit RealHistogram(prometheus::Histogram& histogram) : histogram_(histogram) {}
  void Observe(double value) override { histogram_.Observe(value); }

 private:
  prometheus::Histogram& histogram_;
};

prometheus::MetricFamily Converted(const MetricFamily& family) {
  prometheus::MetricFamily converted{.name = family.name, .help = family.help};
  const bool counts = family.type == MetricFamily::Type::kCounter;
  converted.type = counts ? prometheus::MetricType::Counter : prometheus::MetricType::Gauge;
  for (const MetricFamily::Sample& sample : family.samples) {
    prometheus::ClientMetric& metric = converted.metric.emplace_back();
    for (const auto& [name, value] : sample.labels) metric.label.push_back({name, value});
    (counts ? metric.counter.value : metric.gauge.value) = sample.value;
  }
  return converted;
}

int64_t OpenFiles() {
  DIR* folder = opendir("/proc/self/fd");
  if (folder == nullptr) return 0;
  int64_t count = 0;
  while (const dirent* entry = readdir(folder)) count += entry->d_name[0] != '.';
  closedir(folder);
  return count - 1;  // the folder itself
}

// The fields of /proc/self/stat behind the name, which may hold anything: the first is the state.
std::vector<std::string> StatFields() {
  std::ifstream file("/proc/self/stat");
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  std::istringstream rest(text.substr(std::min(text.rfind(')') + 1, text.size())));
  return {std::istream_iterator<std::string>(rest), std::istream_iterator<std::string>()};
}

// "btime": when the machine started, Unix time.
double BootSeconds() {
  std::ifstream file("/proc/stat");
  for (std::string word; file >> word;) {
    if (double seconds = 0; word == "btime" && file >> seconds) return seconds;
  }
  return 0;
}

}  // namespace

struct MetricRegistry::Parts {
  prometheus::Registry registry{prometheus::Registry::InsertBehavior::Merge};
  Mutex mutex;
  std::map<const prometheus::Counter*, RealCounter> counters ABSL_GUARDED_BY(mutex);
  std::map<const prometheus::Histogram*, RealHistogram> histograms ABSL_GUARDED_BY(mutex);

  std::vector<prometheus::MetricFamily> Collect(std::span<const MetricFamily> state) const {
    std::vector<prometheus::MetricFamily> families = registry.Collect();
    for (const MetricFamily& family : state) {
      if (!family.samples.empty()) families.push_back(Converted(family));
    }
    return families;
  }
};

MetricRegistry::MetricRegistry() : parts_(std::make_unique<Parts>()) {}
MetricRegistry::~MetricRegistry() = default;

Counter& MetricRegistry::AddCounter(const std::string& name, const std::string& help,
                                    const MetricLabels& labels) {
  prometheus::Counter& counter = prometheus::BuildCounter()
                                     .Name(name)
                                     .Help(help)
                                     .Register(parts_->registry)
                                     .Add(AsMap(labels));
  MutexLock lock(parts_->mutex);
  return parts_->counters.try_emplace(&counter, counter).first->second;
}

Histogram& MetricRegistry::AddHistogram(const std::string& name, const std::string& help,
                                        const std::vector<double>& bounds,
                                        const MetricLabels& labels) {
  prometheus::Histogram& histogram = prometheus::BuildHistogram()
                                         .Name(name)
                                         .Help(help)
                                         .Register(parts_->registry)
                                         .Add(AsMap(labels), bounds);
  MutexLock lock(parts_->mutex);
  return parts_->histograms.try_emplace(&histogram, histogram).first->second;
}

std::string MetricRegistry::Text(std::span<const MetricFamily> state) const {
  return prometheus::TextSerializer().Serialize(parts_->Collect(state));
}

struct MetricExporter::Parts {
  struct Collected final : prometheus::Collectable {
    std::vector<prometheus::MetricFamily> Collect() const override {
      return registry->Collect(state());
    }
    const MetricRegistry::Parts* registry = nullptr;
    std::function<std::vector<MetricFamily>()> state;
  };
  const std::shared_ptr<Collected> collected = std::make_shared<Collected>();
  std::unique_ptr<prometheus::Exposer> exposer;  // ends first: its threads collect
};

MetricExporter::MetricExporter(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
MetricExporter::~MetricExporter() = default;

absl::StatusOr<std::unique_ptr<MetricExporter>> MetricExporter::Start(
    const std::string& address, const MetricRegistry& registry,
    std::function<std::vector<MetricFamily>()> state) {
  auto parts = std::make_unique<Parts>();
  parts->collected->registry = registry.parts_.get();
  parts->collected->state = std::move(state);
  try {
    parts->exposer = std::make_unique<prometheus::Exposer>(std::vector<std::string>{
        "listening_ports", address, "num_threads", "4", "request_timeout_ms", "5000"});
    parts->exposer->RegisterCollectable(parts->collected);
  } catch (const std::exception&) {
    return absl::UnavailableError(
        absl::StrCat("metrics cannot be told at ", address,
                     ": it is taken by another program, or no address of this machine"));
  }
  return std::unique_ptr<MetricExporter>(new MetricExporter(std::move(parts)));
}

int MetricExporter::port() const { return parts_->exposer->GetListeningPorts().front(); }

std::vector<MetricFamily> ProcessMetrics(const std::string& version) {
  // Fields of stat by proc(5)'s numbers; the first here is 3.
  constexpr size_t kUserTicks = 14 - 3, kSystemTicks = 15 - 3, kStartTicks = 22 - 3,
                   kResidentPages = 24 - 3;
  const std::vector<std::string> stat = StatFields();
  const auto field = [&](size_t index) {
    double value = 0;
    return index < stat.size() && absl::SimpleAtod(stat[index], &value) ? value : 0.0;
  };
  const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  const auto page = static_cast<double>(sysconf(_SC_PAGESIZE));
  const auto one = [](std::string name, std::string help, MetricFamily::Type type, double value) {
    return MetricFamily{std::move(name), std::move(help), type, {{{}, value}}};
  };
  using enum MetricFamily::Type;
  return {
      {"potluck_build_info", "Which build this process is", kGauge, {{{{"version", version}}, 1}}},
      one("process_cpu_seconds_total", "CPU time of user and system", kCounter,
          (field(kUserTicks) + field(kSystemTicks)) / ticks),
      one("process_resident_memory_bytes", "Memory that is resident", kGauge,
          field(kResidentPages) * page),
      one("process_open_fds", "Open file descriptors", kGauge, static_cast<double>(OpenFiles())),
      one("process_start_time_seconds", "When this process started, Unix time", kGauge,
          BootSeconds() + field(kStartTicks) / ticks),
  };
}

}  // namespace potluck
