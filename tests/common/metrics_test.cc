#include "common/metrics.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace potluck {
namespace {

using testing::HasSubstr;

// What a scraper at this port of this machine reads.
std::string Scraped(int port) {
  const int client = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(client, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
    ADD_FAILURE() << "nobody listens on port " << port;
  constexpr std::string_view kAsk = "GET /metrics HTTP/1.0\r\n\r\n";
  EXPECT_EQ(write(client, kAsk.data(), kAsk.size()), static_cast<ssize_t>(kAsk.size()));
  std::string text;
  char bytes[4096];
  for (ssize_t count; (count = read(client, bytes, sizeof(bytes))) > 0;)
    text.append(bytes, static_cast<size_t>(count));
  close(client);
  return text;
}

TEST(MetricExporter, AnswersOnAPortOfItsOwn) {
  MetricRegistry registry;
  registry.AddCounter("potluck_dishes_total", "Dishes brought", {}).Add(2);
  int scrapes = 0;
  const auto state = [&scrapes] {
    return std::vector<MetricFamily>{
        {"potluck_scrapes", "So far", MetricFamily::Type::kGauge, {{{}, 1.0 * ++scrapes}}}};
  };
  const auto exporter = MetricExporter::Start("127.0.0.1:0", registry, state);
  ASSERT_TRUE(exporter.ok()) << exporter.status();
  EXPECT_THAT(Scraped((*exporter)->port()), HasSubstr("potluck_dishes_total 2\n"));
  const std::string again = Scraped((*exporter)->port());
  EXPECT_THAT(again, HasSubstr("potluck_scrapes 2\n"));
  EXPECT_THAT(again, HasSubstr("200 OK"));
}

TEST(MetricExporter, SaysWhereItCannotListen) {
  const MetricRegistry registry;
  const auto none = [] { return std::vector<MetricFamily>(); };
  const auto first = MetricExporter::Start("127.0.0.1:0", registry, none);
  ASSERT_TRUE(first.ok()) << first.status();
  const std::string taken = "127.0.0.1:" + std::to_string((*first)->port());
  for (const std::string& address : {taken, std::string("192.0.2.1:9100")}) {
    const auto second = MetricExporter::Start(address, registry, none);
    EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(second.status().message(), HasSubstr(address));
  }
}

TEST(MetricsTest, AreToldInPrometheusText) {
  MetricRegistry registry;
  registry.AddCounter("potluck_dishes_total", "Dishes brought", {{"guest", "w\"1\""}}).Add(2);
  registry.AddCounter("potluck_dishes_total", "Dishes brought", {{"guest", "w\"1\""}}).Add(1);
  registry.AddCounter("potluck_dishes_total", "Dishes brought", {{"guest", "w2"}}).Add(5);
  Histogram& waits = registry.AddHistogram("potluck_wait_seconds", "Until served", {0.5, 2}, {});
  for (const double seconds : {0.25, 0.5, 1.0, 60.0}) waits.Observe(seconds);
  const std::vector<MetricFamily> state = {
      {"potluck_guests", "Who is here", MetricFamily::Type::kGauge, {{{{"room", "hall"}}, 7}}},
      {"potluck_toasts_total", "So far", MetricFamily::Type::kCounter, {{{}, 3}}},
      {"potluck_nothing", "Of which there is none", MetricFamily::Type::kGauge, {}}};
  const std::string text = registry.Text(state);
  for (const char* line : {
           "# HELP potluck_dishes_total Dishes brought\n# TYPE potluck_dishes_total counter\n",
           "potluck_dishes_total{guest=\"w\\\"1\\\"\"} 3\n",
           "potluck_dishes_total{guest=\"w2\"} 5\n",
           "# TYPE potluck_wait_seconds histogram\n",
           "potluck_wait_seconds_count 4\n",
           "potluck_wait_seconds_sum 61.75\n",
           "potluck_wait_seconds_bucket{le=\"0.5\"} 2\n",
           "potluck_wait_seconds_bucket{le=\"2\"} 3\n",
           "potluck_wait_seconds_bucket{le=\"+Inf\"} 4\n",
           "# TYPE potluck_guests gauge\npotluck_guests{room=\"hall\"} 7\n",
           "# TYPE potluck_toasts_total counter\npotluck_toasts_total 3\n",
       })
    EXPECT_THAT(text, HasSubstr(line));
  EXPECT_THAT(text, testing::Not(HasSubstr("potluck_nothing")));
  EXPECT_TRUE(text.ends_with("\n"));
}

TEST(MetricsTest, AreCountedByManyThreads) {
  MetricRegistry registry;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&registry] {
      for (int n = 0; n < 1000; ++n) {
        registry.AddCounter("potluck_steps_total", "Steps", {}).Add(1);
        registry.AddHistogram("potluck_step_seconds", "Steps", {1}, {}).Observe(0.5);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(registry.Text({}), HasSubstr("potluck_steps_total 4000\n"));
  EXPECT_THAT(registry.Text({}), HasSubstr("potluck_step_seconds_count 4000\n"));
}

TEST(MetricsTest, TellOfThisProcess) {
  double resident = 0, files = 0, cpu = -1, started = 0;
  for (const MetricFamily& family : ProcessMetrics("1.2.3")) {
    ASSERT_EQ(family.samples.size(), 1u);
    const double value = family.samples.front().value;
    if (family.name == "process_resident_memory_bytes") resident = value;
    if (family.name == "process_open_fds") files = value;
    if (family.name == "process_cpu_seconds_total") cpu = value;
    if (family.name == "process_start_time_seconds") started = value;
    if (family.name != "potluck_build_info") continue;
    EXPECT_EQ(family.samples.front().labels, (MetricLabels{{"version", "1.2.3"}}));
    EXPECT_EQ(value, 1);
  }
  EXPECT_GT(resident, 1 << 20);
  EXPECT_GE(files, 3);
  EXPECT_GE(cpu, 0);
  EXPECT_GT(started, 1.6e9);
}

}  // namespace
}  // namespace potluck
