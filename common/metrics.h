// What a Prometheus server reads of this process, behind which prometheus-cpp stands.
//
// What happens is observed as it happens (counters, histograms); what is so (gauges, and counters
// that somebody keeps anyway) is told at each scrape. Names and units as Prometheus' naming page
// has them: potluck_, base units, _total on counters, no colons. Labels have few values: no ids of
// requests, no texts of people.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

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
  friend class MetricExporter;
  struct Parts;
  const std::unique_ptr<Parts> parts_;
};

// GET /metrics on a port of its own, for a process that has no other one for people.
class MetricExporter {
 public:
  // "HOST:PORT"; nobody is asked for a key there. `state` is called at each scrape, on a thread of
  // the exporter's. The registry must outlive the object. Unavailable where the port is taken or
  // may not be had.
  static absl::StatusOr<std::unique_ptr<MetricExporter>> Start(
      const std::string& address, const MetricRegistry& registry,
      std::function<std::vector<MetricFamily>()> state);
  ~MetricExporter();

  // The port that was chosen for port 0.
  int port() const;

 private:
  struct Parts;
  explicit MetricExporter(std::unique_ptr<Parts> parts);
  const std::unique_ptr<Parts> parts_;
};

// potluck_build_info and the process_* families that Prometheus' own client libraries have (CPU
// seconds, resident memory, open files, start time), from /proc.
std::vector<MetricFamily> ProcessMetrics(const std::string& version);

}  // namespace potluck
