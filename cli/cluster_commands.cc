// potluck load, unload, drain, pause, resume, join-code: what is asked of a running cluster in one
// call.
#include <memory>
#include <string>

#include "absl/strings/str_format.h"
#include "cli/cluster_client.h"
#include "cli/command.h"
#include "cli/json_fields.h"
#include "cli/load_options.h"
#include "common/status_macros.h"
#include "coordinator/api/http/load_request.h"
#include "coordinator/api/http/replies.h"

namespace potluck::cli {
namespace {

absl::Status Ask(const ClusterOptions& cluster, const std::string& path, const std::string& body) {
  POTLUCK_ASSIGN_OR_RETURN(const HttpClient client, ConnectTo(cluster));
  POTLUCK_ASSIGN_OR_RETURN(const HttpReply reply, client.Post(path, body));
  return JsonOf(reply).status();
}

struct NamedOptions {
  ClusterOptions cluster;
  std::string name;
};

// A command with one name as its argument.
void AddNamed(CLI::App& app, Command& command, const char* verb, const char* what,
              const char* argument, const char* meaning, const char* key) {
  auto options = std::make_shared<NamedOptions>();
  CLI::App* added = app.add_subcommand(verb, what);
  added->add_option(argument, options->name, meaning)->required();
  AddClusterOptions(*added, options->cluster);
  added->footer(absl::StrFormat("Example:\n  potluck %s NAME", verb));
  added->callback([options, verb, key, &command] {
    command = [options, verb, key] {
      const nlohmann::ordered_json body = {{key, options->name}};
      return Ask(options->cluster, absl::StrFormat("/cluster/%s", verb), coordinator::Dump(body));
    };
  });
}

}  // namespace

void AddLoadCommand(CLI::App& app, Command& command) {
  struct LoadCommandOptions {
    ClusterOptions cluster;
    coordinator::LoadRequest request;
  };
  auto options = std::make_shared<LoadCommandOptions>();
  CLI::App* load = app.add_subcommand("load", "Load another model, or a second copy of one");
  load->add_option("MODEL", options->request.model,
                   "A path on the coordinator's machine, or a name in its models folder")
      ->required();
  AddLoadOptions(*load, options->request);
  AddClusterOptions(*load, options->cluster);
  load->footer("Example:\n  potluck load qwen3-8b-q4_k_m --ctx 16384 --parallel 2");
  load->callback([options, &command] {
    command = [options] {
      return Ask(options->cluster, "/cluster/load", coordinator::ToJson(options->request));
    };
  });
}

void AddUnloadCommand(CLI::App& app, Command& command) {
  AddNamed(app, command, "unload", "Unload a model; its running requests end in an error", "MODEL",
           "Its name, as `potluck status` shows it", "model");
}

void AddJoinCodeCommand(CLI::App& app, Command& command) {
  struct JoinCodeOptions {
    ClusterOptions cluster;
    bool replace = false, json = false;
  };
  auto options = std::make_shared<JoinCodeOptions>();
  CLI::App* code = app.add_subcommand("join-code", "Show how another machine joins the cluster");
  code->add_flag("--replace", options->replace,
                 "Make a new code; no machine joins with a former one any more");
  code->add_flag("--json", options->json, "Print what the cluster answers");
  AddClusterOptions(*code, options->cluster);
  code->footer("Examples:\n  potluck join-code\n  potluck join-code --replace");
  code->callback([options, &command] {
    command = [options]() -> absl::Status {
      constexpr char kPath[] = "/cluster/join-code";
      POTLUCK_ASSIGN_OR_RETURN(const HttpClient client, ConnectTo(options->cluster));
      POTLUCK_ASSIGN_OR_RETURN(const HttpReply reply,
                               options->replace ? client.Post(kPath, "") : client.Get(kPath));
      POTLUCK_ASSIGN_OR_RETURN(const nlohmann::ordered_json answer, JsonOf(reply));
      absl::PrintF("%s\n", options->json ? coordinator::Dump(answer)
                                         : "potluck join " + Text(answer, "join_line"));
      return absl::OkStatus();
    };
  });
}

void AddDrainCommand(CLI::App& app, Command& command) {
  AddNamed(app, command, "drain",
           "Move a worker's layers to others, so that it can be switched off", "WORKER",
           "Its name or id", "worker");
}

void AddPauseCommand(CLI::App& app, Command& command) {
  AddNamed(app, command, "pause", "Give a worker's owner the machine back for a while", "WORKER",
           "Its name or id", "worker");
}

void AddResumeCommand(CLI::App& app, Command& command) {
  AddNamed(app, command, "resume", "Use a drained or paused worker again", "WORKER",
           "Its name or id", "worker");
}

}  // namespace potluck::cli
