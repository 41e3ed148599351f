#pragma once
// A real zeroth-supervise on a program of its own, in state and runtime folders of its own and without a control port
// unless one is asked for, driven as a person would: files are saved, signals sent, the control socket asked.
// Everything waits on events, with a deadline; what does not come in time fails the test case and shows what the
// supervisor said. At its end nothing of it is left running.

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "common/message.h"
#include "tests/support/control_client.h"
#include "tests/support/temp_dir.h"

namespace zeroth {

class Daemon {
 public:
  // Saves the program as `file` and starts the supervisor on it with these further options. It is answering when the
  // constructor returns, and the worker is live.
  explicit Daemon(std::string_view program, std::vector<std::string> options = {}, std::string file = "greeting.zero");
  // The same for a command that speaks the protocol: `program` is what is watched, its path the command's last word.
  static constexpr const char* kCommand = "--";  // option behind which the command stands
  // The same for one that need not speak.
  static constexpr const char* kMuteCommand = "--mute";
  // Kills and reaps everything of it.
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  // ---- The program on disk
  const std::string& program() const { return program_; }
  std::string read_program() const;
  void write(std::string_view content) const;          // in place: truncated, then written
  void write_renamed(std::string_view content) const;  // beside it, then renamed over it

  // ---- Asking
  ControlClient::Outcome call(std::string_view command, const Json& params = Json::object(),
                              Milliseconds deadline = kPatience);
  // The same, failing the test case if it is refused.
  Json ask(std::string_view command, const Json& params = Json::object(), Milliseconds deadline = kPatience);
  // What it is refused with, failing the test case if it is not.
  Refusal refused(std::string_view command, const Json& params = Json::object(), Milliseconds deadline = kPatience);
  Json status();
  Json worker();  // of the first one in `status`
  pid_t worker_pid();
  std::uint64_t generation();
  std::uint64_t iteration();  // of the newest beat
  EventStream events(const std::vector<std::string>& types = {}) const;
  // The worker's status as soon as the predicate accepts it: asked again on every event.
  Json wait_until(const std::function<bool(const Json& worker)>& accepts, Milliseconds deadline = kPatience);
  // Until this generation (or a later one) is live and ready. Its receipt may still be amended: the verdict and the
  // snapshot's commit are told by the event `reload`.
  Json wait_generation(std::uint64_t generation, Milliseconds deadline = kPatience);

  // ---- Life and death
  pid_t pid() const { return pid_; }
  // Starts it again in the same folders, with these options instead if given; waits for the worker to be live.
  void restart(std::optional<std::vector<std::string>> options = std::nullopt);
  // The same without waiting for anything.
  void launch(std::optional<std::vector<std::string>> options = std::nullopt);
  void wait_answering(Milliseconds deadline = kPatience);  // the control socket, whatever the worker does
  void wait_ready(Milliseconds deadline = kPatience);
  // SIGTERM (or another signal), then its exit code; 128 + number if a signal ended it.
  int terminate(int signal = 15, Milliseconds deadline = kPatience);
  int wait_exit(Milliseconds deadline = kPatience);
  void kill_supervisor();  // kill -9; reaped when it returns
  pid_t kill_worker();     // kill -9 of the live one; returns its pid
  // Worker processes of this state folder that run now.
  std::vector<pid_t> workers_running() const;
  // Until so many run.
  bool wait_workers(std::size_t count, Milliseconds deadline = kPatience) const;  // what was killed takes a moment
  bool wait_no_workers(Milliseconds deadline = kPatience) const { return wait_workers(0, deadline); }

  // ---- Files and output
  const std::string& state_dir() const { return state_; }  // <state home>/zeroth/<stem>
  std::string worker_dir() const { return state_ + "/" + name_; }
  std::vector<std::string> snapshot_files() const;  // paths, oldest first
  const std::string& socket() const { return socket_; }
  std::string out() const { return dir_.read("stdout"); }  // of all starts so far
  std::string err() const { return dir_.read("stderr"); }
  std::string log() const;  // <state>/supervisor.log, which is written a moment later than what it tells
  bool logs(const std::string& text, Milliseconds deadline = kPatience) const;  // as soon as it has that
  const TempDir& dir() const { return dir_; }
  std::string runtime_dir() const { return dir_.path("run/zeroth/" + name_); }
  // For the next start: "" removes the variable.
  void set_variable(const std::string& name, const std::string& value) { variables_.emplace_back(name, value); }
  // What a process needs to find the same folders: for run_process().
  std::vector<std::pair<std::string, std::string>> environment() const;

 private:
  std::string told() const;

  TempDir dir_;
  std::string name_, program_, state_, socket_;
  std::vector<std::string> options_;
  std::vector<std::pair<std::string, std::string>> variables_;
  pid_t pid_ = -1;
  std::optional<ControlClient> client_;
};

// Waits for the end of any process, ours or not (a zombie has ended).
bool wait_for_end(pid_t pid, Milliseconds deadline = kPatience);
// Until /proc/<pid> is gone, that is until its parent has reaped it.
bool wait_reaped(pid_t pid, Milliseconds deadline = kPatience);
bool process_runs(pid_t pid);

}  // namespace zeroth
