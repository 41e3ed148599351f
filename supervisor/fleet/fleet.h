#pragma once
// The workers of one supervisor and what follows from their being several: who starts after whom, who was stopped on
// purpose, what is done to all of them. With a single program it has one member, and nothing of this shows. Owned by
// Supervisor; the commands act on it.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/loop/loop.h"
#include "supervisor/fleet/dependencies.h"
#include "supervisor/fleet/fleet_file.h"
#include "supervisor/fleet/member.h"

namespace zeroth {

class Fleet {
 public:
  using Reply = Worker::Reply;

  struct Hooks {
    std::function<void(Worker&)> on_added;
    std::function<void(Worker&)> on_leaving;  // it is destroyed next
    std::function<void(std::string_view type, const Json& data)> on_event;
    std::function<void(int exit_code, const Receipt&)> on_start_failed;  // of one that is alone
    std::function<void()> on_gave_up;                                    // the same
  };

  struct Stopped {
    std::string name;
    Worker::StopOutcome outcome;
  };

  // `around` is of the instance; what it points to outlives the fleet.
  Fleet(Loop& loop, Surroundings around, Hooks hooks);
  ~Fleet();

  // ---- Who belongs to it
  tl::expected<void, StartError> add(Member::Plan plan);
  // All workers of a file that was just read; those that are stopped are remembered from the run before, unless
  // `fresh`.
  tl::expected<void, StartError> add_all(std::vector<FleetWorker> workers, bool fresh);
  // Makes the fleet what the file says: touches only what changed. One that cannot be changed is told and goes on.
  void change(std::vector<FleetWorker> workers);
  const std::vector<std::unique_ptr<Member>>& members() const { return members_; }
  Member* find(const std::string& name) const;
  bool owns(pid_t pid) const;
  std::size_t watched_files() const;

  // ---- All of them
  // Each as soon as what it depends on is ready; not those that were stopped on purpose.
  void start();
  // In reverse order, remembering nothing. If the state of one cannot be saved and nobody insists, that one and those
  // that are not stopped yet run on; start() makes up for it.
  void stop(bool insist, std::function<void(const std::vector<Stopped>&)> done);
  void kill_now();
  bool stopping() const { return stop_run_ != nullptr; }

  // ---- On purpose, one or all; replies are receipts, or {operation, verdict, reason, workers: [receipt]}
  // What it depends on is started as well.
  void start(Member& member, Worker::ReloadRequest request);
  // Its start is put off until what it depends on is ready.
  bool waits(const std::string& name) const { return waiting_.count(name) > 0; }
  void stop(Member& member, bool force, Reply reply);
  void start_all(Reply reply);
  void stop_all(bool force, Reply reply);
  void restart_all(const std::string& cause, bool force, Reply reply);
  // The env files of all are read now.
  void reload_env();
  // One at a time; the next only after that is ready; ends at the first that fails.
  void rolling_restart(Reply reply);

  // Each worker's status, with what it waits for.
  Json status() const;

 private:
  struct StopRun;
  struct Gathering;
  struct Rolling;

  Dependencies dependencies() const;
  const Listener* listener_of(const std::string& group, const std::string& not_of, const ListenAddress& address) const;
  std::vector<std::string> order() const;
  // Of what it depends on, the first that is not ready: "worker 'db', which is starting"; "" if all are.
  std::string awaited_by(const Member& member) const;
  void wait(Member& member, Worker::ReloadRequest request);
  void look_soon();
  void look();
  void on_event(std::string_view type, const Json& data);
  void on_failed(const std::string& name, bool given_up);
  void tell_when_ready();
  void refuse_waiting(const std::string& name, const std::string& why, bool leave);
  void go_on_stopping();
  void on_stopped(const std::string& name, const Worker::StopOutcome& outcome);
  void roll();
  void end_rolling(const std::string& reason);
  void remember(const std::string& name, bool stopped);
  void save_stopped();
  void load_stopped();
  void say(std::string_view level, const std::string& worker, const std::string& message) const;
  // Changes of the file (fleet_change.cpp).
  Member::Plan plan_of(FleetWorker worker, const std::string& cause) const;
  void change_one(FleetWorker worker);
  void take(Member& member, Options options);
  void remove(Member& member, std::function<void()> then);
  void end_change(const std::string& name);
  void sort_members(const std::vector<FleetWorker>& workers);

  Loop& loop_;
  const Surroundings around_;
  Hooks hooks_;
  std::vector<std::unique_ptr<Member>> members_;
  std::map<std::string, Worker::ReloadRequest> waiting_;  // to begin when what they depend on is ready
  std::set<std::string> stopped_;                         // on purpose
  Lane disk_;
  bool several_ = false, looking_ = false, told_ready_ = true;
  MonotonicTime began_{};
  std::unique_ptr<StopRun> stop_run_;
  std::unique_ptr<Rolling> rolling_;
  std::set<std::string> changing_;                     // names of those that a change of the file is about to reach
  std::optional<std::vector<FleetWorker>> next_file_;  // read meanwhile
  std::shared_ptr<void> alive_ = std::make_shared<int>();
};

}  // namespace zeroth
