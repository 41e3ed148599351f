#include "supervisor/options.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <map>
#include <utility>

#include "common/exit_codes.h"
#include "common/text.h"
#include "supervisor/option_checks.h"
#include "supervisor/option_environment.h"
#include "supervisor/option_names.h"
#include "supervisor/process/user.h"
#include "supervisor/resource_limits.h"

namespace zeroth {
namespace {

// A duration option: CLI11 hands the text to our own parser.
template <class Target>
CLI::Option* add_duration(CLI::App& app, const std::string& name, Target& target, const std::string& help) {
  return app
      .add_option_function<std::string>(
          name,
          [&target, name](const std::string& text) {
            auto duration = parse_duration(text);
            if (!duration) throw CLI::ValidationError(name, duration.error().message);
            target = *duration;
          },
          help)
      ->type_name("TIME");
}

// Bytes, with or without a unit of 1,024. CLI11 would take -5 as nearly 2^64.
CLI::Option* add_size(CLI::App& app, const std::string& name, std::uint64_t& target, const std::string& help) {
  const auto refuse_sign = [](const std::string& text) {
    return text.starts_with('-') ? "'" + escape_control(text) + "' is negative" : std::string();
  };
  return app.add_option(name, target, help)
      ->transform(CLI::AsSizeValue(false))
      ->transform(CLI::Validator(refuse_sign, ""))  // runs before the one above
      ->type_name("SIZE");
}

template <class T>
CLI::Option* add_choice(CLI::App& app, const std::string& name, T& target, const std::map<std::string, T>& names,
                        const std::string& help) {
  std::string list;
  for (const auto& [choice, value] : names) list += (list.empty() ? "" : "|") + choice;
  return app
      .add_option_function<std::string>(
          name,
          [&target, &names, name, list](const std::string& text) {
            const auto found = names.find(text);
            if (found == names.end())
              throw CLI::ValidationError(name, "'" + escape_control(text) + "' is none of " + list);
            target = found->second;
          },
          help)
      ->type_name(list);
}

void add_what_runs(CLI::App& app, Options& o) {
  const std::string group = "What runs";
  app.add_option("--name", o.name, "name of the worker and of its state folder (default: the program's stem)")
      ->group(group);
  app.add_flag("--protocol", o.protocol,
               "the command after -- speaks the worker protocol; not starting to is a failure")
      ->group(group);
  app.add_option("--cwd", o.cwd, "working folder of the worker")->type_name("DIR")->group(group);
  app.add_option_function<std::string>(
         "--user",
         [&o](const std::string& text) {
           if (auto user = find_user(text); !user) throw CLI::ValidationError("--user", user.error().message);
           o.user = text;
         },
         "run the worker as this user, by name or number, with its groups or with this one as the first; needs root")
      ->type_name("NAME[:GROUP]")
      ->group(group);
  app.add_option("--env", o.env, "set a variable for the worker; may be given several times")
      ->type_name("K=V")
      ->allow_extra_args(false)
      ->group(group);
  app.add_option("--env-file", o.env_files,
                 "the same from a file of K=V lines, which is read again when it changes; may be given several times")
      ->type_name("PATH")
      ->allow_extra_args(false)
      ->group(group);
  app.add_option("--listen", o.listen, "open this socket and lend it to the worker; may be given several times")
      ->type_name("[NAME=]ADDR")
      ->allow_extra_args(false)
      ->group(group);
  app.add_option_function<std::vector<std::string>>(
         "--limit",
         [&o](const std::vector<std::string>& given) {
           for (const std::string& text : given) {
             auto limit = parse_limit(text);
             if (!limit) throw CLI::ValidationError("--limit", limit.error().message);
             o.limits.push_back(*limit);
           }
           o.origins["limits"] = "flag";
         },
         "limit a resource of the worker's processes, e.g. nofile=1024; may be given several times")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false)
      ->group(group);
  app.add_flag("--stdin", o.give_stdin, "give the worker our stdin and the terminal; turns the keys off")->group(group);
  app.add_option("--rate", o.rate, "iterations per second of a Zero program, 0 for as fast as possible (default 60)")
      ->check(CLI::Range(0.0, 1e6))
      ->group(group);
  app.add_option("--halflife", o.halflife, "iterations after which a divergence has halved (default 100)")
      ->check(CLI::PositiveNumber)
      ->group(group);
}

void add_watching(CLI::App& app, Options& o) {
  const std::string group = "Watching";
  app.add_option("--watch", o.watch, "file or folder to watch; may be given several times")
      ->type_name("PATH")
      ->allow_extra_args(false)
      ->group(group);
  app.add_option("--ignore", o.ignore, "names that are no change; may be given several times")
      ->type_name("GLOB")
      ->allow_extra_args(false)
      ->group(group);
  add_duration(app, "--debounce", o.debounce, "quiet time before a change counts (default: at once for one file)")
      ->group(group);
  app.add_flag("--poll", o.poll, "look at the files regularly instead of being told (network file systems)")
      ->group(group);
  app.add_flag("--no-watch", o.no_watch, "reload on command only")->group(group);
}

void add_restarting(CLI::App& app, Options& o, std::string& on_failure) {
  const std::string group = "Restarting";
  add_choice(app, "--reload", o.reload, kReloadModes, "how a new generation takes over (default: what the worker can)")
      ->group(group);
  add_choice(app, "--restart", o.restart, kRestartOn, "when an ended worker is started again (default on-failure)")
      ->group(group);
  add_duration(app, "--min-uptime", o.min_uptime, "an exit within this time counts as a failure (default 10s)")
      ->group(group);
  app.add_option("--max-failures", o.max_failures, "failures in a row before giving up, 0 for never (default 10)")
      ->check(CLI::Range(0, 1'000'000))
      ->group(group);
  add_duration(app, "--backoff-max", o.backoff_max, "longest wait between restarts (default 30s)")->group(group);
  add_duration(app, "--retry-failed", o.retry_failed,
               "how often a failed worker is tried again, 0 for never (default 60s)")
      ->group(group);
  app.add_option("--on-failure", on_failure, "what giving up means (default retry; exit as a systemd unit)")
      ->type_name("retry|exit")
      ->check(CLI::IsMember({"retry", "exit"}))
      ->group(group);
  add_duration(app, "--start-timeout", o.start_timeout, "time for new code to load (default 60s)")->group(group);
  add_duration(app, "--drain-timeout", o.drain_timeout, "time to finish open requests before the cut (default 250ms)")
      ->group(group);
  add_duration(app, "--stop-timeout", o.stop_timeout, "time to stop by itself before it is killed (default 3s)")
      ->group(group);
  app.add_option("--health", o.health,
                 "whether the worker is well, asked at each start of a command that does not speak until it is ready, "
                 "and then regularly: tcp:PORT, tcp:ADDRESS:PORT, http://ADDRESS:PORT/PATH (status 200 to 399), "
                 "exec:COMMAND (exits with 0), heartbeat (it beats or answers a ping), or notify (only at a start: it "
                 "sends READY=1 to $NOTIFY_SOCKET, which counts in any case); default: it lives")
      ->type_name("CHECK")
      ->group(group);
  add_duration(app, "--health-interval", o.health_interval,
               "how often it is asked while the worker runs, 0 for never (default 10s)")
      ->group(group);
  add_duration(app, "--health-timeout", o.health_timeout, "time for one answer (default 1s)")->group(group);
  app.add_option("--health-failures", o.health_failures,
                 "failures in a row after which a worker is unhealthy and replaced, with its state (default 3)")
      ->check(CLI::Range(1, 1'000))
      ->group(group);
  add_size(app, "--max-memory", o.max_memory,
           "replace the worker, with its state, when its processes take more than this (default: never)")
      ->group(group);
  app.add_option(
         "--cron", o.cron,
         "restart it, with its state, by this timetable: minute, hour, day, month, day of the week, as cron has "
         "them")
      ->type_name("'M H D M W'")
      ->group(group);
}

void add_state(CLI::App& app, Options& o) {
  const std::string group = "State";
  app.add_option("--state-dir", o.state_dir, "folder of the state")->type_name("DIR")->group(group);
  add_duration(app, "--checkpoint-interval", o.checkpoint_interval,
               "least time between snapshots, 0 for none (default 1s; 1min with --state-file, where the command can be "
               "asked to save, else 0)")
      ->each([&o](const std::string&) { o.checkpoint_interval_chosen = true; })
      ->group(group);
  app.add_option("--state-file", o.state_file,
                 "the command does not speak, it keeps its state in this file: taken when it ends and when it is asked "
                 "to save, put there before it starts")
      ->type_name("PATH")
      ->group(group);
  app.add_option("--state-signal", o.state_signal,
                 "asks the command to save: USR1; done when the file was renamed into place")
      ->type_name("NAME")
      ->group(group);
  app.add_option("--state-command", o.state_command, "the same by a command for sh: 'redis-cli save'")
      ->type_name("CMD")
      ->group(group);
  add_size(app, "--checkpoint-rate", o.checkpoint_rate,
           "most bytes per second that they write on average, 0 for no limit (default 5MB)")
      ->group(group);
  add_duration(app, "--max-snapshot-age", o.max_snapshot_age, "start fresh from older snapshots (default: never)")
      ->group(group);
  add_size(app, "--keep-bytes", o.keep_bytes,
           "most that snapshots may take, e.g. 500MB (default 1GB); two and what is pinned always stay")
      ->group(group);
  app.add_flag("--fresh", o.fresh, "start without the kept state, which is pinned and named")->group(group);
  app.add_flag("--adopt", o.adopt, "take over the state of a program that was moved or renamed")->group(group);
  app.add_flag("--verify-restore", o.verify_restore,
               "compare the state of a new generation with the one it was given before it goes live")
      ->group(group);
  add_choice(app, "--on-loss", o.on_loss, kOnLoss,
             "when new code drops something of the state (default keep: go on; refuse: abandon the reload)")
      ->group(group);
  app.add_flag("--strict", o.strict, "do not start the kept copy when the program does not compile")->group(group);
}

void add_control_and_output(CLI::App& app, Options& o, int& verbose, bool& quiet) {
  const std::string control = "Control";
  app.add_option("--runtime-dir", o.runtime_dir, "folder of the control socket")->type_name("DIR")->group(control);
  app.add_option("--pid-file", o.pid_file, "pid file (default <runtime>/pid)")->type_name("FILE")->group(control);
  app.add_option_function<std::string>(
         "--control-port",
         [&o](const std::string& text) {
           if (Status chosen = choose_control_port(o, text, "--control-port"); !chosen)
             throw CLI::ValidationError(chosen.error().message);
         },
         "TCP port of control on 127.0.0.1, 0 for any free one (default 4040 for a Zero program, else off); each "
         "request carries \"token\", which is the content of <runtime>/token")
      ->type_name("PORT|off")
      ->group(control);
  const std::string output = "Output";
  add_choice(app, "--log-format", o.log_format, kLogFormats, "form of the messages (default text)")->group(output);
  app.add_option("--log-file", o.log_file, "write messages there too")->type_name("FILE")->group(output);
  app.add_flag("--raw", o.raw, "leave the worker's output alone")->group(output);
  app.add_flag("-v", verbose, "say more; twice: everything")->group(output);
  app.add_flag("-q", quiet, "say only what went wrong")->group(output);
  app.add_flag("--no-sidecar", o.no_sidecar, "do not write the compiled .z beside the program")->group(output);
}

std::string unknown_option(const CLI::App& app, const std::string& word) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) names.push_back(option->get_name());
  const std::vector<std::string_view> views(names.begin(), names.end());
  const std::string name = word.substr(0, word.find('='));
  const std::string_view meant = nearest(name, views);
  return "unknown option '" + escape_control(name) + "'" +
         (meant.empty() ? "" : ", did you mean '" + std::string(meant) + "'?");
}

ParsedOptions usage_error(const std::string& message) {
  return {std::nullopt, "zeroth-supervise: " + message + "\nTry 'zeroth-supervise --help'.\n", kExitUsage};
}

}  // namespace

// As the process of a unit, not somewhere below one. A unit whose worker gave up is to turn red.
static bool run_by_systemd() {
  const char* pid = std::getenv("SYSTEMD_EXEC_PID");
  return pid != nullptr && std::to_string(::getpid()) == pid;
}

static void add_all(CLI::App& app, Options& o, std::string& on_failure, int& verbose, bool& quiet) {
  add_what_runs(app, o);
  add_watching(app, o);
  add_restarting(app, o, on_failure);
  add_state(app, o);
  add_control_and_output(app, o, verbose, quiet);
}

constexpr const char* kDescription =
    "Runs a program and keeps its living state while its code changes, it crashes, or the machine restarts.\n\n"
    "  zeroth-supervise [options] program.zero|program.z\n"
    "  zeroth-supervise [options] -- command args...      restarted when a file in the working folder changes\n"
    "  zeroth-supervise [options] fleet.toml              many workers, each as the file says";

ParsedOptions parse_options(int argc, const char* const* argv) {
  CLI::App app(kDescription, "zeroth-supervise");
  Options o;
  bool quiet = false, version = false;
  int verbose = 0;
  std::string on_failure = run_by_systemd() ? "exit" : "retry";
  app.add_flag("--version", version, "print the version");
  add_all(app, o, on_failure, verbose, quiet);
  // Everything behind "--" is the command, whatever it looks like.
  const char* const* separator =
      std::find_if(argv + 1, argv + argc, [](const char* word) { return std::string_view(word) == "--"; });
  const bool has_command = separator != argv + argc;
  if (has_command) o.command.assign(separator + 1, argv + argc);
  app.add_option("program", o.program, "program to run")->type_name("FILE");
  try {
    app.parse(static_cast<int>(separator - argv), argv);
  } catch (const CLI::CallForHelp&) {
    return {std::nullopt, app.help(), kExitOk};
  } catch (const CLI::ExtrasError&) {
    const std::vector<std::string> rest = app.remaining();
    const std::string word = rest.empty() ? "" : rest.front();
    return usage_error(word.starts_with("-") ? unknown_option(app, word)
                                             : "unexpected argument '" + escape_control(word) + "'");
  } catch (const CLI::ParseError& error) {
    return usage_error(escape_control(error.what()));
  }
  if (version) return {std::nullopt, "zeroth-supervise " ZEROTH_VERSION "\n", kExitOk};
  if (has_command && o.command.empty()) return usage_error("no command after --");
  o.verbosity = quiet ? -1 : verbose;
  o.exit_on_failure = on_failure == "exit";
  std::copy_if(argv, separator, std::back_inserter(o.again),
               [](std::string_view word) { return word != "--fresh" && word != "--adopt"; });
  o.again.insert(o.again.end(), separator, argv + argc);
  if (o.command.empty() && o.program.ends_with(".toml")) o.fleet = std::exchange(o.program, "");
  if (Status checked = o.fleet.empty() ? check_together(app, o) : check_of_fleet(app); !checked)
    return usage_error(checked.error().message);
  if (Status applied = apply_environment(app, o); !applied) return usage_error(applied.error().message);
  return {std::move(o), "", kExitOk};
}

struct OptionSetter::Parser {
  explicit Parser(Options& o) : options(o) {
    add_all(app, o, on_failure, verbose, quiet);
    app.add_option("--program", o.program);
  }
  Options& options;
  CLI::App app;
  std::string on_failure = "retry";
  int verbose = 0;
  bool quiet = false;
};

OptionSetter::OptionSetter(Options& options) : parser_(std::make_unique<Parser>(options)) {}
OptionSetter::~OptionSetter() = default;

Status OptionSetter::set(const std::string& name, const std::vector<std::string>& values) {
  const std::string option = "--" + name;
  std::vector<std::string> words;  // CLI11 takes them in reverse
  for (const std::string& value : values) words.insert(words.begin(), option + "=" + value);
  if (values.empty()) words = {option};
  try {
    parser_->app.parse(std::move(words));
  } catch (const CLI::ParseError& error) {
    const std::string message = error.what();
    return fail(escape_control(message.starts_with(option + ": ") ? message.substr(option.size() + 2) : message));
  }
  return {};
}

Status OptionSetter::check() {
  return check_together(parser_->app, parser_->options);
}

}  // namespace zeroth
