#pragma once
// Owns and connects: the instance's place, the workers, the fleet file if there is one, log and terminal. Every
// decision is somebody else's. main makes one and runs it.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/loop/loop.h"
#include "supervisor/control/control_commands.h"
#include "supervisor/event_hub.h"
#include "supervisor/fleet/fleet.h"
#include "supervisor/fleet/fleet_source.h"
#include "supervisor/log.h"
#include "supervisor/options.h"
#include "supervisor/place.h"
#include "supervisor/process/orphans.h"
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
  tl::expected<void, StartError> read_fleet();
  tl::expected<void, StartError> open_workers();
  Surroundings surroundings();
  Fleet::Hooks fleet_hooks();
  tl::expected<void, StartError> open_control();
  void measure(std::function<void(std::string)> reply);
  void say(std::string_view level, const std::string& message);
  void on_signal();
  void shutdown(bool insist, Worker::Reply reply);
  void finish_shutdown(const std::vector<Fleet::Stopped>& stopped, MonotonicTime began, const Worker::Reply& reply);
  std::string stopped_line(const std::vector<Fleet::Stopped>& stopped) const;
  void close();
  void say_stopped(const std::string& line, bool saved, bool goes_on);
  void end(int exit_code);
  bool alone() const { return options_.fleet.empty(); }
  Json config() const;
  const std::string& fingerprint() const;
  Json status() const;

  Loop loop_;
  Options options_;
  std::unique_ptr<InstancePlace> place_;
  mutable std::string fingerprint_;  // "": to be made anew
  WallTime started_at_ = wall_now();
  MonotonicTime started_ = monotonic_now();

  EventHub events_;
  std::unique_ptr<Log> log_;
  std::unique_ptr<Terminal> terminal_;
  std::unique_ptr<Orphans> orphans_;
  std::unique_ptr<FleetSource> source_;  // null without a fleet file
  std::vector<FleetWorker> of_file_;     // as first read, until they are members
  std::unique_ptr<Fleet> fleet_;
  ControlTargets targets_;
  std::vector<std::unique_ptr<SignalWatch>> signals_;
  std::optional<MonotonicTime> stop_asked_;  // by a signal
  int exit_code_ = 0;
  std::shared_ptr<void> alive_ = std::make_shared<int>();  // until close()
};

}  // namespace zeroth
