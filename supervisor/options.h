#pragma once
// What zeroth-supervise was asked to do, from its command line and environment. Each value knows where it came from, so
// that `zerothctl config` can say so and the fingerprint covers all of them.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "common/json.h"
#include "common/result.h"

namespace zeroth {

enum class ReloadMode { Auto, Overlap, Recreate, Exec };
enum class RestartOn { OnFailure, Always, Never };
enum class OnLoss { Keep, Refuse };  // when the new code drops something of the state
enum class LogFormat { Text, JsonLines };

struct Options {
  // What runs: a program file, a command, or the workers that a fleet file names.
  std::string fleet;
  std::string program;
  std::vector<std::string> command;
  bool protocol = false;  // the command must speak
  std::string name;
  std::string cwd;
  std::string user;                    // NAME[:GROUP], as find_user() reads it; "": who we are
  std::vector<std::string> env;        // K=V for the worker
  std::vector<std::string> env_files;  // the same in files, which count for less; the last for more than the first
  std::vector<std::string> listen;     // [NAME=]ADDR, lent to the worker
  bool give_stdin = false;             // the worker has our stdin, and the terminal if that is one
  std::optional<double> rate;          // iterations/s, built-in worker
  std::optional<double> halflife;
  std::vector<std::pair<int, std::uint64_t>> limits;  // RLIMIT_… of the worker, soft and hard

  std::vector<std::string> watch;
  std::vector<std::string> ignore;
  std::optional<Milliseconds> debounce;
  Milliseconds watch_interval{30'000};  // slow poll; with `poll` the poll itself
  bool poll = false;
  bool no_watch = false;

  ReloadMode reload = ReloadMode::Auto;
  RestartOn restart = RestartOn::OnFailure;
  Milliseconds min_uptime{10'000};
  int max_failures = 10;  // 0: never give up
  Milliseconds backoff_max{30'000};
  Milliseconds retry_failed{60'000};  // 0: never
  bool exit_on_failure = false;
  Milliseconds start_timeout{60'000};
  Milliseconds drain_timeout{250};
  Milliseconds stop_timeout{3'000};
  // As parse_health() reads it: when a command that does not speak is ready ("": by its age), and whether any worker is
  // well while it runs.
  std::string health;
  Milliseconds health_interval{10'000};  // while it runs; 0: only until it is ready
  Milliseconds health_timeout{1'000};    // of one attempt
  int health_failures = 3;               // in a row
  std::uint64_t max_memory = 0;          // bytes that a worker's process group may take, 0: no limit

  std::string cron;  // a timetable of restarts, as CronTable reads it; "": none

  std::string state_dir;
  std::string runtime_dir;
  std::string pid_file;
  std::optional<std::uint16_t> control_port;  // on 127.0.0.1, 0: any free one; none: off
  bool control_port_chosen = false;           // not the default: a taken one is an error
  Milliseconds checkpoint_interval{1'000};    // 0: off
  std::uint64_t checkpoint_rate = 5u << 20;   // bytes/s that periodic ones write on average, 0: no limit
  bool checkpoint_interval_chosen = false;    // else it is another with a state file
  // Of a command that keeps its state in a file, which is asked to save it by a signal or by a command for sh.
  std::string state_file, state_signal, state_command;
  std::optional<Milliseconds> max_snapshot_age;
  std::uint64_t keep_bytes = 1u << 30;  // of snapshots
  bool fresh = false;
  bool adopt = false;
  bool strict = false;
  bool verify_restore = false;  // a new generation goes only with the state that it was given
  OnLoss on_loss = OnLoss::Keep;
  bool no_sidecar = false;

  LogFormat log_format = LogFormat::Text;
  std::string log_file;
  bool raw = false;
  int verbosity = 0;  // -1 with -q

  std::vector<std::string> again;  // argv to go on from here with: without --fresh
  Json origins = Json::object();   // option name -> "flag" | "environment" | "default" | place in a fleet file

  bool operator==(const Options&) const = default;
};

// What the command line asks for besides running.
struct ParsedOptions {
  std::optional<Options> options;  // absent: `text` is to be printed and the program to end with `exit_code`
  std::string text;                // help, version or an error
  int exit_code = 0;
};

// Reads argv and the environment; never prints, never exits.
ParsedOptions parse_options(int argc, const char* const* argv);

// Whether they mean the same, wherever that was written; how it is to start is not meant.
bool same_settings(const Options& a, const Options& b);

// Sets options one by one as the command line would: for files of options.
class OptionSetter {
 public:
  explicit OptionSetter(Options& options);  // outlives it
  ~OptionSetter();
  // `name` without dashes: "start-timeout". A flag has no value, a list several. The message does not name the option.
  Status set(const std::string& name, const std::vector<std::string>& values);
  // What one option alone cannot tell. Messages name options as the command line does.
  Status check();

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

// "512MB", "2GB", or bytes.
Result<std::uint64_t> parse_size(const std::string& text);

// Each effective value with its origin: {"rate":{"value":60,"origin":"default"}, …}.
Json describe(const Options& options);

// The words as a shell would read them.
std::string quoted_command(const std::vector<std::string>& words);

}  // namespace zeroth
