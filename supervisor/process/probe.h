#pragma once
// Asks a program from outside whether it is well (--health): one attempt, by a TCP connection, an HTTP request or a
// command. Owned by whoever waits for the answer; lives on the loop's thread and never blocks it. Whatever answers may
// be slow, endless or talk nonsense: an attempt is bounded in time and in what it keeps.

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/loop/loop.h"
#include "common/unique_fd.h"
#include "supervisor/process/child.h"
#include "supervisor/process/health_check.h"
#include "supervisor/process/starter.h"

namespace zeroth {

class Probe {
 public:
  // Of a command that is asked: as the program it asks about has them.
  struct Place {
    std::vector<std::string> env;
    std::string cwd;
    std::optional<RunAs> run_as = {};
    // Of all checks of one worker, one at a time: a command whose disk hangs is not started once more. null: of this
    // one.
    std::shared_ptr<Starter> starter = {};
  };

  // `check` is one that asks(). `done` is called once, later, with why not in words; it may destroy the probe.
  // EBUSY: the command could not be started in time, which says nothing about what it asks. Destroying it earlier ends
  // the attempt, and kills and reaps its process.
  Probe(Loop& loop, const HealthCheck& check, const Place& place, std::function<void(Status)> done);
  ~Probe();
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  // May this be its process?
  bool owns(pid_t pid) const {
    return (starter_ && starter_->awaited()) || (child_ && child_->running() && child_->pid() == pid);
  }
  // Its process, 0 if it has none.
  pid_t pid() const { return child_ && child_->running() ? child_->pid() : 0; }

 private:
  void connect();
  void on_connected();
  void ask_http();
  void read_answer();
  // No more comes, or is read: the status that was answered counts, else `without`.
  void end_answer(Status without);
  void run(const Place& place);
  void on_exit(const ExitInfo& info);
  void finish(Status outcome);

  Loop& loop_;
  std::shared_ptr<Starter> starter_;  // while its process is being started
  const HealthCheck check_;
  std::function<void(Status)> done_;
  Timer timeout_;
  UniqueFd socket_;
  std::unique_ptr<FdWatch> watch_;
  std::unique_ptr<Child> child_;
  std::string said_;           // the end of what its process printed, or the beginning of what the server answered
  std::optional<int> status_;  // that an HTTP server answered with
  std::size_t answered_ = 0;   // bytes
  bool late_ = false;
};

}  // namespace zeroth
