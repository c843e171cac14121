// potluck load, unload, drain, pause, resume, join-code: what is asked of a running cluster in one
// call.
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>

#include "absl/strings/str_format.h"
#include "cli/cluster_client.h"
#include "cli/command.h"
#include "cli/environment.h"
#include "cli/json_fields.h"
#include "cli/load_options.h"
#include "cli/owner_signals.h"
#include "cli/terminal.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "coordinator/api/json_text.h"
#include "coordinator/api/load_request.h"

namespace potluck::cli {
namespace {

// A model's file that is here, where the coordinator is here, too: it runs in another folder.
std::string ForCoordinator(const std::string& model, const HttpClient& client) {
  std::error_code error;
  if (!client.loopback() || !std::filesystem::exists(model, error)) return model;
  return AbsolutePath(model);
}

absl::Status Ask(const ClusterOptions& cluster, const std::string& path, const std::string& body) {
  POTLUCK_ASSIGN_OR_RETURN(const HttpClient client, ConnectTo(cluster));
  POTLUCK_ASSIGN_OR_RETURN(const HttpReply reply, client.Post(path, body));
  return JsonOf(reply).status();
}

// About a worker of the cluster, or, where none is named, this machine's own.
// `then`: what comes of it, for people.
void AddForWorker(CLI::App& app, Command& command, const char* verb, OwnerWish wish,
                  const char* what, const char* then) {
  struct Options {
    ClusterOptions cluster;
    std::string worker, state_folder;
  };
  auto options = std::make_shared<Options>();
  CLI::App* added = app.add_subcommand(verb, what);
  CLI::Option* worker = added->add_option("WORKER", options->worker,
                                          "Its name or id (default: the worker on this machine)");
  added
      ->add_option("--state-dir", options->state_folder,
                   "Where this machine's worker has its state (default: $XDG_STATE_HOME/potluck)")
      ->excludes(worker);
  AddClusterOptions(*added, options->cluster);
  added->footer(absl::StrFormat("Examples:\n  potluck %s\n  potluck %s attic", verb, verb));
  added->callback([options, verb, wish, then, &command] {
    command = [options, verb, wish, then]() -> absl::Status {
      if (!options->worker.empty()) {
        const nlohmann::ordered_json body = {{"worker", options->worker}};
        POTLUCK_RETURN_IF_ERROR(
            Ask(options->cluster, absl::StrFormat("/cluster/%s", verb), coordinator::Dump(body)));
      } else if (!options->cluster.url.empty()) {
        return UsageError("which worker of that cluster? Give its name or id");
      } else {
        POTLUCK_RETURN_IF_ERROR(TellWorkerHere(
            wish, options->state_folder.empty() ? DefaultStateFolder() : options->state_folder));
      }
      absl::PrintF("%s\n", then);
      return absl::OkStatus();
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
    command = [options]() -> absl::Status {
      POTLUCK_ASSIGN_OR_RETURN(const HttpClient client, ConnectTo(options->cluster));
      coordinator::LoadRequest request = options->request;
      request.model = ForCoordinator(request.model, client);
      return Ask(options->cluster, "/cluster/load", coordinator::ToJson(request));
    };
  });
}

void AddUnloadCommand(CLI::App& app, Command& command) {
  struct UnloadOptions {
    ClusterOptions cluster;
    std::string model;
  };
  auto options = std::make_shared<UnloadOptions>();
  CLI::App* unload =
      app.add_subcommand("unload", "Unload a model; its running requests end in an error");
  unload
      ->add_option("MODEL", options->model,
                   "Its name or instance, as `potluck status` shows them, or its file's path")
      ->required();
  AddClusterOptions(*unload, options->cluster);
  unload->footer("Example:\n  potluck unload NAME");
  unload->callback([options, &command] {
    command = [options]() -> absl::Status {
      POTLUCK_ASSIGN_OR_RETURN(const HttpClient client, ConnectTo(options->cluster));
      const nlohmann::ordered_json body = {{"model", ForCoordinator(options->model, client)}};
      return Ask(options->cluster, "/cluster/unload", coordinator::Dump(body));
    };
  });
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
  AddForWorker(app, command, "drain", OwnerWish::kDrain,
               "Move a worker's layers to others, so that it can be switched off",
               "It may be switched off once `potluck status` shows no layers on it any more; they "
               "move as soon as other workers have room for them.");
}

void AddPauseCommand(CLI::App& app, Command& command) {
  AddForWorker(
      app, command, "pause", OwnerWish::kPause,
      "Give a worker's owner the machine back for a while",
      "Its layers move as soon as other workers have room for them; `potluck status` shows "
      "where they are.");
}

void AddResumeCommand(CLI::App& app, Command& command) {
  AddForWorker(
      app, command, "resume", OwnerWish::kResume, "Use a drained or paused worker again",
      "It is used again where that makes the cluster faster or safer, unless somebody else "
      "has paused it, too: `potluck status` tells.");
}

}  // namespace potluck::cli
