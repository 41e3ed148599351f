#pragma once
// Processes that a worker left behind and that became our children (we are their subreaper). Reaps them, tells whose
// they were, and kills those of a generation that is over. Owned by the supervisor; lives on the loop's thread.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/loop/loop.h"

namespace zeroth {

// One generation, over or not.
struct RetiredGeneration {
  std::string worker;
  std::uint64_t generation = 0;
  pid_t session = 0;  // the session its process led (its pid); 0 = none
};

// By ZEROTH_WORKER and ZEROTH_GENERATION in its environment or, without these, by session.
bool belongs_to(pid_t pid, const RetiredGeneration& generation);

// Is a process of this leader's group or session running, or waiting for the disk, at this moment? Costs a walk through
// /proc.
bool is_at_work(pid_t leader);

class Orphans {
 public:
  // `is_child`: the pid is a Child's, which reaps it itself.
  Orphans(Loop& loop, std::function<bool(pid_t)> is_child);

  // Once at start, before the first worker.
  static Status become_subreaper();

  // Kills what is left of the generation (KILL: its worker is dead already, these ignored its end), again and again
  // until nothing is; then `done` with the pids that would not die within two seconds. Only descendants of ours that
  // no Child answers for are looked at; they belong to the generation by ZEROTH_WORKER and ZEROTH_GENERATION in their
  // environment or, without these, by session.
  void kill_of(RetiredGeneration retired, std::function<void(std::vector<pid_t>)> done);
  // All of them, whoever they belong to: the end of shutdown.
  void kill_all(std::function<void(std::vector<pid_t>)> done);

  // Living orphans and their descendants.
  std::vector<pid_t> find() const;

 private:
  using Matches = std::function<bool(pid_t)>;
  struct Hunt {
    Matches matches;
    std::function<void(std::vector<pid_t>)> done;
    std::chrono::steady_clock::time_point until;
  };
  void reap();
  void hunt(std::shared_ptr<Hunt> hunt);
  void run_hunts();

  std::function<bool(pid_t)> is_child_;
  SignalWatch on_child_end_;
  Timer retry_;
  Timer hunting_;
  std::vector<std::shared_ptr<Hunt>> hunts_;
};

}  // namespace zeroth
