// potluck doctor: looks for what is likely to go wrong on this machine and in its cluster, and says
// what to do about it.
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/cluster_client.h"
#include "cli/command.h"
#include "cli/environment.h"
#include "cli/json_fields.h"
#include "common/status_macros.h"
#include "kernels/devices.h"
#include "model/store/blob_cache.h"
#include "partition/amounts.h"

namespace potluck::cli {
namespace {

using nlohmann::ordered_json;

enum class Level { kFine, kWarning, kProblem };
constexpr const char* kLevels[] = {"ok", "warning", "problem"};

struct Finding {
  std::string about;  // "port 7070"
  Level level = Level::kFine;
  std::string says;
  std::string advice;  // where it is not fine
};
using Findings = std::vector<Finding>;

// ---- this machine ----

void LookAtDevices(Findings& findings) {
  for (const kernels::DeviceInfo& device : kernels::ListDevices()) {
    const std::string says = absl::StrCat(device.hardware, ", ", device.target, ", ",
                                          partition::Bytes(device.free_memory_bytes), " of ",
                                          partition::Bytes(device.total_memory_bytes), " free");
    if (device.free_memory_bytes < device.total_memory_bytes / 4) {
      findings.push_back({device.name, Level::kWarning, says,
                          "close what uses the memory: layers get 80% of what is free"});
    } else {
      findings.push_back({device.name, Level::kFine, says, ""});
    }
  }
}

// Display controllers of the PCI bus, by their vendors. Source: Linux, Documentation/ABI/testing/
// sysfs-bus-pci.
void LookAtGraphics(Findings& findings) {
  const std::map<std::string, std::string> vendors = {
      {"0x10de", "NVIDIA"}, {"0x1002", "AMD"}, {"0x8086", "Intel"}};
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/bus/pci/devices", error)) {
    const auto read = [&](const char* name) {
      std::string text;
      std::ifstream(entry.path() / name) >> text;
      return text;
    };
    const auto vendor = vendors.find(read("vendor"));
    if (!read("class").starts_with("0x03") || vendor == vendors.end()) continue;
    findings.push_back({absl::StrCat("graphics ", entry.path().filename().string()), Level::kFine,
                        absl::StrCat("of ", vendor->second, "; this version computes on CPUs only"),
                        ""});
  }
}

// Certificates and logs go by the clock.
void LookAtClock(Findings& findings) {
  timex state{};
  const int kept = adjtimex(&state);
  if (kept != TIME_ERROR && kept >= 0) {
    findings.push_back({"clock", Level::kFine, "kept right by the network", ""});
  } else {
    findings.push_back({"clock", Level::kWarning, "nothing keeps it right",
                        "switch on network time (systemd-timesyncd, chrony): a certificate is "
                        "refused by who has another day"});
  }
}

bool IsFree(uint16_t port) {
  const int number = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (number < 0) return true;
  const int yes = 1;
  setsockopt(number, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  const bool free =
      bind(number, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
      errno != EADDRINUSE;
  close(number);
  return free;
}

// `url`: of a coordinator that answers; empty: none does.
void LookAtPorts(const std::string& url, Findings& findings) {
  struct Port {
    uint16_t number;
    const char* use;
    const char* flag;
  };
  constexpr Port kPorts[] = {{7070, "people's HTTP", "--http"},
                             {7071, "joining workers", "--listen"},
                             {7080, "other workers", "--listen"}};
  for (const auto& [number, use, flag] : kPorts) {
    const std::string about = absl::StrCat("port ", number);
    if (IsFree(number)) {
      findings.push_back({about, Level::kFine, absl::StrCat("free for ", use), ""});
    } else if (!url.empty()) {
      findings.push_back({about, Level::kFine,
                          absl::StrCat("taken, by a cluster that runs here or "
                                       "by another program"),
                          ""});
    } else {
      findings.push_back({about, Level::kWarning, "taken by another program",
                          absl::StrCat("give `up` or `join` another one with ", flag)});
    }
  }
}

// Of a folder of keys, a file that others may read; empty where there is none.
std::string OpenFile(const std::string& folder) {
  std::error_code error;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(
           folder, std::filesystem::directory_options::skip_permission_denied, error)) {
    struct stat state {};
    const std::string path = entry.path().string();
    if (lstat(path.c_str(), &state) == 0 && S_ISREG(state.st_mode) && (state.st_mode & 077) != 0)
      return path;
  }
  return "";
}

void LookAtFolder(const std::string& about, const std::string& path, bool is_private,
                  Findings& findings) {
  struct stat state {};
  if (stat(path.c_str(), &state) != 0) {
    findings.push_back({about, Level::kFine, absl::StrCat(path, " will be made"), ""});
    return;
  }
  struct statvfs disk {};
  const bool known = statvfs(path.c_str(), &disk) == 0;
  const auto free_bytes =
      static_cast<int64_t>(known ? disk.f_bavail : 0) * static_cast<int64_t>(disk.f_frsize);
  const std::string says =
      absl::StrCat(path, ", ", known ? partition::Bytes(free_bytes) : "unknown room", " free");
  if (!S_ISDIR(state.st_mode) || access(path.c_str(), R_OK | W_OK | X_OK) != 0) {
    findings.push_back({about, Level::kProblem, absl::StrCat(path, " cannot be used by this user"),
                        "change its owner, or choose another with --state-dir or --cache-dir"});
  } else if (const std::string open = is_private ? OpenFile(path) : ""; !open.empty()) {
    findings.push_back({about, Level::kProblem, absl::StrCat(open, " can be read by other users"),
                        absl::StrCat("chmod 600 ", open, ": keys lie in this folder")});
  } else if (known && free_bytes < static_cast<int64_t>(2 * model::kDefaultMinFreeBytes)) {
    findings.push_back(
        {about, Level::kWarning, says, "make room: fetched weights leave 2 GiB free in any case"});
  } else {
    findings.push_back({about, Level::kFine, says, ""});
  }
}

// ---- the cluster ----

void LookAtWorker(const ordered_json& worker, Findings& findings) {
  const std::map<std::string, std::string> advice = {
      {"suspect", "nothing was heard of it for seconds: look at its network, or whether it sleeps"},
      {"lost", "start it again, or look at its network and its power saving"},
      {"resting",
       "it was lost several times in a row: a cable helps; `potluck resume` ends its rest"},
      {"paused", "`potluck resume` takes it back"},
      {"leaving", "its layers are being moved; nothing is to be done"}};
  const std::string about = absl::StrCat("worker ", Text(worker, "name"));
  const std::string state = Text(worker, "state");
  if (state == "left") return;
  const auto found = advice.find(state);
  if (found == advice.end()) {
    findings.push_back({about, Level::kFine, state, ""});
  } else {
    findings.push_back(
        {about, state == "lost" ? Level::kProblem : Level::kWarning, state, found->second});
  }
}

void LookAtLinks(const ordered_json& cluster, Findings& findings) {
  constexpr double kSlowMilliseconds = 5, kSlowMbit = 90;
  std::map<std::string, std::string> names = {{"coordinator", "the coordinator"}};
  for (const ordered_json& worker : List(cluster, "workers"))
    names[Text(worker, "id")] = Text(worker, "name");
  for (const ordered_json& worker : List(cluster, "workers")) {
    const std::string state = Text(worker, "state");
    if (state == "lost" || state == "left") continue;
    for (const ordered_json& link : List(worker, "links")) {
      const auto to = names.find(Text(link, "to"));
      if (to == names.end()) continue;
      const std::string about = absl::StrCat("link ", Text(worker, "name"), " to ", to->second);
      if (!Flag(link, "reachable")) {
        findings.push_back({about, Level::kWarning, "not reachable",
                            "open the worker's port in the firewall, or say where it is reached "
                            "with --advertise; until then the coordinator relays"});
        continue;
      }
      const double milliseconds = Number(link, "round_trip_ms"),
                   mbit = Number(link, "mbit_per_second");
      const bool slow = milliseconds > kSlowMilliseconds || mbit < kSlowMbit;
      findings.push_back(
          {about, slow ? Level::kWarning : Level::kFine,
           absl::StrFormat("%.2f ms, %.0f Mbit/s", milliseconds, mbit),
           slow ? "each token passes it once: a cable instead of Wi-Fi or powerline" : ""});
    }
  }
}

void LookAtModels(const ordered_json& cluster, Findings& findings) {
  for (const ordered_json& instance : List(cluster, "instances")) {
    const std::string about = absl::StrCat("model ", Text(instance, "model"));
    const std::string trouble = Text(instance, "trouble");
    if (!trouble.empty()) {
      findings.push_back({about, Level::kProblem, trouble, "see `potluck plan`"});
    } else {
      findings.push_back({about, Level::kFine, Text(instance, "state"), ""});
    }
    for (const ordered_json& note : List(instance, "notes")) {
      if (note.is_string())
        findings.push_back({about, Level::kWarning, note.get<std::string>(), "see `potluck plan`"});
    }
  }
}

struct DoctorOptions {
  ClusterOptions cluster;
  std::string state_folder = DefaultStateFolder(), cache_folder = DefaultCacheFolder();
  bool json = false;
};

absl::StatusOr<ordered_json> AskCluster(const HttpClient& client) {
  POTLUCK_ASSIGN_OR_RETURN(const HttpReply reply, client.Get("/cluster"));
  return JsonOf(reply);
}

absl::Status Examine(const DoctorOptions& options) {
  Findings findings;
  LookAtDevices(findings);
  LookAtGraphics(findings);
  LookAtClock(findings);
  LookAtFolder("state folder", options.state_folder, true, findings);
  LookAtFolder("cache folder", options.cache_folder, false, findings);
  POTLUCK_ASSIGN_OR_RETURN(const HttpClient client, ConnectTo(options.cluster));
  const absl::StatusOr<ordered_json> cluster = AskCluster(client);
  if (absl::IsCancelled(cluster.status())) return cluster.status();
  LookAtPorts(cluster.ok() ? client.url() : "", findings);
  if (cluster.ok()) {
    for (const ordered_json& worker : List(*cluster, "workers")) LookAtWorker(worker, findings);
    LookAtLinks(*cluster, findings);
    LookAtModels(*cluster, findings);
  } else {
    // Without --url there need not be one.
    const bool asked = !options.cluster.url.empty();
    findings.push_back({"cluster", asked ? Level::kProblem : Level::kFine,
                        std::string(cluster.status().message()),
                        asked ? "start it with `potluck up`, or give its address and key" : ""});
  }
  ordered_json json = ordered_json::array();
  int64_t problems = 0;
  for (const Finding& finding : findings) {
    const char* level = kLevels[static_cast<int>(finding.level)];
    problems += finding.level == Level::kProblem ? 1 : 0;
    json.push_back({{"about", finding.about},
                    {"level", level},
                    {"says", finding.says},
                    {"advice", finding.advice}});
    if (options.json) continue;
    absl::PrintF("%-8s %s: %s\n", level, finding.about, finding.says);
    if (!finding.advice.empty()) absl::PrintF("         -> %s\n", finding.advice);
  }
  if (options.json)
    std::cout << json.dump(2, ' ', false, ordered_json::error_handler_t::replace) << "\n";
  if (problems == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(problems, problems == 1 ? " problem was found" : " problems were found"));
}

}  // namespace

void AddDoctorCommand(CLI::App& app, Command& command) {
  auto options = std::make_shared<DoctorOptions>();
  CLI::App* doctor =
      app.add_subcommand("doctor", "Look for what may go wrong on this machine and in its cluster");
  AddClusterOptions(*doctor, options->cluster);
  doctor->add_option("--state-dir", options->state_folder, "As of up and join");
  doctor->add_option("--cache-dir", options->cache_folder, "As of up and join");
  doctor->add_flag("--json", options->json, "Print a JSON array");
  doctor->footer(
      "Ends with 1 where it has found a problem.\n"
      "Examples:\n"
      "  potluck doctor\n"
      "  potluck doctor --url http://nas:7070 --json");
  doctor->callback([options, &command] { command = [options] { return Examine(*options); }; });
}

}  // namespace potluck::cli
