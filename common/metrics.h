// What a Prometheus server reads of this process, behind which prometheus-cpp stands.
//
// What happens is observed as it happens (counters, histograms); what is so (gauges, and counters
// that somebody keeps anyway) is told at each scrape. Names and units as Prometheus' naming page
// has them: potluck_, base units, _total on counters, no colons. Labels have few values: no ids of
// requests, no texts of people.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace potluck {

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

// State at the moment of a scrape.
struct MetricFamily {
  enum class Type : uint8_t { kCounter, kGauge };
  struct Sample {
    MetricLabels labels;
    double value = 0;
  };
  std::string name, help;
  Type type = Type::kGauge;
  std::vector<Sample> samples;
};

// Thread-safe.
class Counter {
 public:
  virtual ~Counter() = default;
  virtual void Add(double amount) = 0;  // at least 0
};

// Thread-safe. Cost: some 50 ns.
class Histogram {
 public:
  virtual ~Histogram() = default;
  virtual void Observe(double value) = 0;
};

// Thread-safe. What it gives out lives as long as it does.
class MetricRegistry {
 public:
  MetricRegistry();
  ~MetricRegistry();
  MetricRegistry(const MetricRegistry&) = delete;
  MetricRegistry& operator=(const MetricRegistry&) = delete;

  // The same name and labels give the same object. A name has one help and one kind.
  Counter& AddCounter(const std::string& name, const std::string& help, const MetricLabels& labels);
  // `bounds` rise.
  Histogram& AddHistogram(const std::string& name, const std::string& help,
                          const std::vector<double>& bounds, const MetricLabels& labels);

  // All of it in Prometheus' text format, version 0.0.4, with `state`, whose names differ from
  // those that were added.
  std::string Text(std::span<const MetricFamily> state) const;
  static constexpr char kContentType[] = "text/plain; version=0.0.4; charset=utf-8";

 private:
  struct Parts;
  const std::unique_ptr<Parts> parts_;
};

// potluck_build_info and the process_* families that Prometheus' own client libraries have (CPU
// seconds, resident memory, open files, start time), from /proc.
std::vector<MetricFamily> ProcessMetrics(const std::string& version);

}  // namespace potluck
