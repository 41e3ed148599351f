#pragma once
// What follows when a worker ends without being asked: again (after which wait), never, later, or back to the code
// before. Pure: time and chance are passed in. One per worker; asked by the supervisor at every such end.

#include <chrono>
#include <deque>
#include <functional>
#include <optional>
#include <string>

#include "common/clock.h"

namespace zeroth {

enum class RestartMode { OnFailure, Always, Never };

struct RestartOptions {
  RestartMode mode = RestartMode::OnFailure;
  Milliseconds min_uptime = std::chrono::seconds(10);    // an end before this is a failure
  int max_failures = 10;                                 // in a row, then `failed`; 0 = never
  Milliseconds backoff_max = std::chrono::seconds(30);   // before jitter
  Milliseconds retry_failed = std::chrono::seconds(60);  // 0 = never
};

enum class ExitKind {
  Finished,     // exit 0
  Crashed,      // another code, a signal of its own doing, unhealthy, or not ready in time
  KilledByHand  // SIGKILL or SIGTERM from outside
};

struct WorkerEnd {
  ExitKind kind = ExitKind::Crashed;
  bool was_ready = false;
  Milliseconds lived{0};  // since it went live; counts only if it was ready
  MonotonicTime now;
  bool can_roll_back = true;  // there is code to go back to; a command's is not kept
};

struct Decision {
  enum class Action {
    Restart,   // the same code from the newest snapshot, after `after`
    Finished,  // wait for an edit
    Failed,    // gave up; tried again after `after` if that is set
    RollBack,  // the code before, now
  };
  Action action = Action::Restart;
  std::optional<Milliseconds> after;
  std::string reason;  // why, in words; of Restart: why not rolled back, or ""
};

class RestartPolicy {
 public:
  // `random` gives numbers from [0, 1).
  RestartPolicy(RestartOptions options, std::function<double()> random);

  Decision on_end(const WorkerEnd& end);

  // New code went live by a reload: its first failure restarts it, its second rolls it back. A life of min_uptime
  // ends that trial.
  void on_reloaded();
  // After an edit, `reload` or `restart` the new code has said hello (one that does not speak: is live): forget the
  // failures.
  void reset();

  int failures() const { return failures_; }

 private:
  bool gave_up(MonotonicTime now);
  bool trial_failed(const WorkerEnd& end);
  Milliseconds next_delay();

  RestartOptions options_;
  std::function<double()> random_;
  int restarts_ = 0;  // since the back-off was cleared
  int failures_ = 0;  // in a row
  std::deque<MonotonicTime> crashes_;
  bool on_trial_ = false;
  int trial_failures_ = 0;
};

}  // namespace zeroth
