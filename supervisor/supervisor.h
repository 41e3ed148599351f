#pragma once
// Owns and connects: the instance's place, the worker, the watch on its program, log and terminal. Every decision is
// somebody else's. main makes one and runs it.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/loop/loop.h"
#include "supervisor/control/control_commands.h"
#include "supervisor/event_hub.h"
#include "supervisor/log.h"
#include "supervisor/options.h"
#include "supervisor/place.h"
#include "supervisor/process/orphans.h"
#include "supervisor/program_watch.h"
#include "supervisor/start_error.h"
#include "supervisor/terminal/terminal.h"
#include "supervisor/worker/worker.h"

namespace zeroth {

class Supervisor {
 public:
  // After this the instance is ours and answers. Nothing runs yet.
  static tl::expected<std::unique_ptr<Supervisor>, StartError> create(Options options);
  ~Supervisor();

  // Until it is told to stop; the exit status. Lets through the signals that main held back.
  int run();
  // After that: work for a disk that does not answer keeps this from being destroyed. All else is given up already.
  bool hangs();

 private:
  explicit Supervisor(Options options);
  tl::expected<void, StartError> open_listeners();
  tl::expected<void, StartError> open_worker();
  tl::expected<void, StartError> open_control();
  void say(std::string_view level, const std::string& message);
  void reload_edited(const Changes& changes);
  void on_signal();
  void shutdown(bool insist, Worker::Reply reply);
  void close();
  std::string describe_stop(const Worker::StopOutcome& outcome) const;
  void say_stopped(const std::string& line, bool saved, bool goes_on);
  void end(int exit_code);
  Json status() const;

  Loop loop_;
  Options options_;
  std::unique_ptr<InstancePlace> place_;
  std::string fingerprint_;
  WallTime started_at_ = wall_now();
  MonotonicTime started_ = monotonic_now();

  EventHub events_;
  std::unique_ptr<Log> log_;
  std::unique_ptr<Terminal> terminal_;
  std::unique_ptr<Orphans> orphans_;
  std::unique_ptr<Worker> worker_;
  std::unique_ptr<ProgramWatch> watch_;
  ControlTargets targets_;
  std::vector<std::unique_ptr<SignalWatch>> signals_;
  std::vector<Listener> listeners_;
  std::optional<MonotonicTime> stop_asked_;  // by a signal
  int exit_code_ = 0;
};

}  // namespace zeroth
