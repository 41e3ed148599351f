#pragma once
// One spawned worker process and the channel to it, from fork to reaping. Handover owns it while it is a candidate and
// while it retires, Worker while it is live; whoever that is sets the hooks. It keeps the deadlines of single messages;
// what a missed one means is decided above.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "common/loop/loop.h"
#include "common/worker_protocol.h"
#include "supervisor/env/variables.h"
#include "supervisor/generation/exchange.h"
#include "supervisor/generation/readiness.h"
#include "supervisor/generation/worker_channel.h"
#include "supervisor/process/child.h"
#include "supervisor/process/user.h"
#include "supervisor/snapshot/disk_work.h"

namespace zeroth {

struct GenerationPlan {
  std::uint64_t number = 0;
  std::string worker;
  std::string cause;
  std::vector<std::string> argv;
  EnvMap env;               // the worker's own, beyond what it inherits; the ZEROTH_ variables are added here
  bool unbuffered = false;  // tell Python, unless somebody has said something about that
  std::string cwd;
  std::string worker_dir;             // $ZEROTH_WORKER_DIR
  std::string notify_folder;          // of the socket for $NOTIFY_SOCKET
  std::string emergency_file;         // $ZEROTH_EMERGENCY_FILE
  std::string alive_file;             // locked for as long as the process lives
  std::shared_ptr<NumberNote> noted;  // its number
  std::shared_ptr<Starter> checks;    // starts its health checks
  std::vector<std::string> changed;
  std::vector<int> lent;                   // listening sockets, not ours to close
  std::string socket, key;                 // $ZEROTH_SOCKET and $ZEROTH_KEY; "" for none
  std::string lent_names;                  // $LISTEN_FDNAMES
  std::optional<WorkerTerminal> terminal;  // for its output; nullopt: pipes
  StdinMode stdin_mode = StdinMode::Null;
  bool die_with_us = false;
  std::vector<ResourceLimit> limits;
  std::optional<WorkerUser> user;      // whom it runs as
  std::shared_ptr<Exchange> exchange;  // of states with a user that is not ours, else null
  bool built_in = false;               // zeroth-worker: its diagnostics come as JSON on stderr
  std::string program_hash;            // content that it runs
  std::string program_copy;            // kept file that it runs, "" if it runs from disk
  Milliseconds start_timeout{60'000};
  std::shared_ptr<DiskWork> disk;  // of the alive file and of $NOTIFY_SOCKET
  // Without a hello within this time it is taken as a program that does not speak: live, but without state. nullopt: it
  // must speak, within start_timeout.
  std::optional<Milliseconds> mute_after;
  Milliseconds mute_latest{0};  // where it is still at work then, likely loading, by this time
  // Of one that need not speak: instead of that time, until this succeeds, within start_timeout.
  std::optional<HealthCheck> health;
};

class Generation {
 public:
  struct Hooks {
    std::function<void()> on_loaded;
    std::function<void()> on_ready;
    // It cannot be used any more, though the process may still be there: late with loaded, or the channel broke.
    std::function<void(const std::string& reason)> on_failed;
    // Reaped; nothing comes after it.
    std::function<void()> on_gone;
    std::function<void(const Json& id)> on_save;
    std::function<void()> on_beat;
    // A mute one speaks after all. It has to be restored and sent go like one that has just been spawned.
    std::function<void()> on_late_hello;
    // Output it wrote, but for the JSON diagnostics of the built-in worker. Bytes are valid during the call.
    std::function<void(OutputStream, std::string_view)> on_output;
  };

  Generation(Loop& loop, GenerationPlan plan);

  void set_hooks(Hooks hooks) { hooks_ = std::move(hooks); }
  // Starts the process, beside the loop. `on_unable`, never from inside the call: it could not be started, or its disk
  // did not answer (ETIMEDOUT, and it may still have to be reaped); then only on_gone is called. Of one that spoke late
  // it only goes on.
  void spawn(std::function<void(const Error&)> on_unable);
  // Instead of that: has `old`, which is held and whose cut is durable, become this one by execv. Its process and
  // channel are this one's from here on; the hello of the new code is the answer. If it refuses, they are given back
  // before `on_refused`, and this one is gone.
  void reexec(const std::shared_ptr<Generation>& old, std::function<void(const Refusal&)> on_refused);

  std::uint64_t number() const { return plan_.number; }
  const GenerationPlan& plan() const { return plan_; }
  pid_t pid() const { return child_ ? child_->pid() : 0; }
  // Is it this one's process, or one that asks about it?
  // While it is being started nobody knows.
  bool owns(pid_t pid) const {
    return !gone_ && (spawning_ || this->pid() == pid || (readiness_ && readiness_->owns(pid)));
  }
  // For a command that asks about it.
  Probe::Place probe_place() const { return {environment(), plan_.cwd, run_as(), plan_.checks}; }
  // What is still to happen before it counts as ready; "" if that is up to the program alone.
  std::string waits_for() const { return readiness_ ? readiness_->waits_for() : ""; }
  bool gone() const { return gone_; }
  // Gone, because its process is the next generation's.
  bool replaced() const { return replaced_; }
  // It has not said hello: restore and go are answered for it, everything else is refused, stop is a signal.
  bool mute() const { return mute_; }
  // It has said hello; of one that is gone, also if that was not read any more.
  bool spoke() const { return spoke_; }
  // Takes a connection as its channel, in which this generation's hello waits to be read. Refused (false, the
  // connection is left alone) if the key is another's or a hello was said before.
  bool take_channel(const std::string& key, UniqueFd& connection);
  const std::optional<ExitInfo>& exit() const { return exit_; }
  // What it was told to die of, or what it broke; "" if it ended by itself.
  const std::string& failure() const { return failure_; }
  // It was never given its state, because that could not be handed to its user: the answer to restore is ours.
  bool withheld() const { return withheld_; }
  // errno of a process that could not be started, 0: it was.
  int spawn_error() const { return spawn_error_; }
  // What it said before it was loaded: diagnostics of the built-in worker, else null.
  const Json& diagnostics() const { return diagnostics_; }

  const Loaded& loaded() const { return loaded_; }
  const std::optional<Beat>& beat() const { return beat_; }
  MonotonicTime spawned_at() const { return spawned_at_; }
  std::optional<MonotonicTime> last_beat_at() const { return last_beat_at_; }
  // What its process has of the variables of its own, and names of which that is not known: it was told of them and did
  // not say that it took them.
  const EnvMap& env() const { return env_; }
  const std::set<std::string>& doubtful_env() const { return doubtful_env_; }
  void took_env(EnvMap env);
  void left_env(const EnvChange& change);
  // Of one that is taken as ready because it lived for a while: its start.
  std::optional<MonotonicTime> live_since() const { return live_since_; }

  using Answer = WorkerChannel::Answer;
  void restore(const RestoreHead& head, std::string_view state, Milliseconds deadline, Answer on_answer);
  void go(Answer on_answer);
  void request(std::string_view command, const Json& params, Milliseconds deadline, Answer on_answer);
  void respond(std::string line);

  // Asks it to stop; TERM when `deadline` is over, KILL after the same again.
  void stop(Milliseconds deadline);
  // KILL, the whole group. `why` is its failure(), unless it has one.
  void kill(const std::string& why = "");

  // As Child does.
  void resize(TerminalSize size);
  void type(std::string bytes);

 private:
  struct Spawning;
  Status prepare_spawn(Spawning& spawning);
  void on_spawned(Spawning& spawning, const std::function<void(const Error&)>& on_unable);
  void on_spawn_late(bool begun, const Error& why, const std::function<void(const Error&)>& on_unable);
  void cannot_spawn(const Error& error);
  std::vector<std::string> environment() const;
  std::optional<RunAs> run_as() const {
    return plan_.user && plan_.user->change ? std::optional(plan_.user->as) : std::nullopt;
  }
  std::optional<uid_t> other_user() const { return plan_.user ? std::optional(plan_.user->as.user) : std::nullopt; }
  // As many of the changed files as one variable takes, a line each; and how many are left.
  std::pair<std::string, std::size_t> changed_files() const;
  void on_event(const Event& event);
  void open_channel(UniqueFd fd);
  void on_hello(const Event& event);
  Child::Hooks child_hooks();
  WorkerChannel::Callbacks channel_callbacks();
  void take_process(Generation& from);
  void make_readiness(Result<NotifySocket::Bound> notify);
  void await_readiness();
  void on_no_hello();
  void settle();
  void await_loaded();
  void answer_for_mute(Answer on_answer);
  void send_restore(const RestoreHead& head, std::string_view state, Milliseconds deadline, Answer on_answer);
  void hand_out(const RestoreHead& head, Milliseconds deadline, Answer on_answer);
  void on_request(const Request& request);
  void on_channel_end(const std::string& reason);
  void on_output(OutputStream stream, std::string_view bytes);
  void on_exit(const ExitInfo& info);
  void fail(const std::string& reason);

  Loop& loop_;
  GenerationPlan plan_;
  Hooks hooks_;
  EnvMap env_;
  std::set<std::string> doubtful_env_;
  std::unique_ptr<Child> child_;
  std::unique_ptr<WorkerChannel> channel_;
  Timer start_timer_;
  Timer stop_timer_;
  MonotonicTime spawned_at_{};
  std::optional<MonotonicTime> last_beat_at_, live_since_;
  std::optional<Hello> hello_;
  std::unique_ptr<Readiness> readiness_;  // of one that need not speak
  bool mute_ = false;
  bool spoke_ = false;
  bool told_ready_ = false;  // by itself or by its check
  bool go_answered_ = false;
  bool said_loaded_ = false;
  bool said_ready_ = false;
  Loaded loaded_;
  std::optional<Beat> beat_;
  std::string early_stderr_;  // of the built-in worker, until loaded: may be diagnostics
  Json diagnostics_;
  std::string failure_;
  int spawn_error_ = 0;
  bool spawning_ = false;  // the pool is at it
  bool doomed_ = false;    // to be killed as soon as it is there
  std::optional<ExitInfo> exit_;
  bool withheld_ = false;
  bool gone_ = false;
  bool replaced_ = false;
  bool reexeced_ = false;  // its process was another generation's
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace zeroth
