#pragma once
// One worker under the supervisor with everything that is its alone: options, folder, listening sockets, the watch on
// its files. Owned by Fleet; with a single program there is one. Knows no other member.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/loop/loop.h"
#include "supervisor/env/env_files.h"
#include "supervisor/event_hub.h"
#include "supervisor/instance/identity.h"
#include "supervisor/options.h"
#include "supervisor/process/listeners.h"
#include "supervisor/process/orphans.h"
#include "supervisor/process/worker_place.h"
#include "supervisor/program_watch.h"
#include "supervisor/start_error.h"
#include "supervisor/worker/cron_timer.h"
#include "supervisor/worker/worker.h"

namespace zeroth {

// What all members share; outlives them.
struct Surroundings {
  Folders folders;
  std::string identity;  // of the instance
  std::vector<std::string> former;
  std::string worker_binary;             // zeroth-worker
  std::vector<std::string> not_watched;  // paths of our own
  std::shared_ptr<InotifyHub> inotify;
  Orphans* orphans = nullptr;
  const std::optional<WorkerTerminal>* terminal = nullptr;
  EventHub* events = nullptr;
};

class Member {
 public:
  struct Hooks {
    std::function<void(std::string_view type, const Json& data)> on_event;  // of this worker
    // Only of one that is alone: nothing runs and nothing is kept that could.
    std::function<void(int exit_code, const Receipt&)> on_start_failed;
    std::function<void()> on_gave_up;
    // A socket that another replica has open at this address; null if none has. May be empty.
    std::function<const Listener*(const ListenAddress&)> shared_listener = {};
  };

  struct Plan {
    std::string name;      // of the worker and of its folder
    std::string group;     // of replicas: the name that they share; else ""
    std::string identity;  // of its state
    Options options;
    std::vector<std::string> depends_on;  // names of members that must be ready before it starts
    bool alone = true;                    // the only one, of a command line
    std::string cause = "start";          // of its first start
  };

  // Its sockets are bound and its folders made; nothing runs yet.
  static tl::expected<std::unique_ptr<Member>, StartError> create(Loop& loop, const Surroundings& around, Plan plan,
                                                                  Hooks hooks);
  // Whom a worker with these options runs as, and its folders, which are made. An error says why it cannot.
  static tl::expected<WorkerPlace, StartError> open_place(const Surroundings& around, const Options& options,
                                                          const std::string& name, bool alone);
  Member(const Member&) = delete;
  Member& operator=(const Member&) = delete;

  const std::string& name() const { return name_; }
  const std::string& group() const { return group_; }
  const Options& options() const { return options_; }
  // Its own at this address, null if it has none.
  const Listener* listener(const ListenAddress& address) const;
  const std::vector<std::string>& depends_on() const { return depends_on_; }
  void set_depends_on(std::vector<std::string> names) { depends_on_ = std::move(names); }
  Worker& worker() { return *worker_; }
  const Worker& worker() const { return *worker_; }

  // Starts it, for the first time or after it was stopped; of one that runs, `request` is all there is to do.
  void begin(Worker::ReloadRequest request);
  // No edit counts until it begins again.
  void stop_watching();

  std::size_t watched_files() const { return watch_->files(); }
  std::string_view watch_mode() const { return watch_->mode(); }

  // As the worker's, with the addresses of its sockets.
  Json status() const;
  // Each variable of its environment with its origin, values hidden; its env files and what is wrong with them.
  Json environment() const;
  // Its env files are read now. `done` gets the receipt of what came of it, verdict `rejected` if a file is wrong.
  void reload_env(Worker::Reply done);
  // The state folder was made anew.
  void make_files_again();

  // Whether these options can be taken by the next generation; of others the whole member has to be made anew.
  bool can_take(const Options& options) const;
  // A reload with them, cause `config`: a verdict other than ok leaves everything as it was. An error (a socket is
  // taken): nothing was begun.
  tl::expected<void, StartError> take(Options options, Worker::Reply done);

 private:
  Member(Loop& loop, const Surroundings& around, Plan& plan);
  tl::expected<void, StartError> open(const Surroundings& around, Plan& plan, Hooks hooks);
  tl::expected<std::vector<Listener>, StartError> open_listeners(const Options& options) const;
  void reload_edited(const Changes& changes);
  void begin_cron();
  // Env files (member_env.cpp).
  tl::expected<void, StartError> open_env(std::shared_ptr<InotifyHub> inotify);
  EnvFiles::Hooks env_hooks();
  bool watches_env() const;
  void tell_env_wrong();
  Json env_status() const;

  Loop& loop_;
  const std::string name_, group_;
  Options options_;
  std::vector<std::string> depends_on_;
  std::string folder_;
  WorkerPlace place_;
  std::vector<Listener> listeners_;
  std::function<const Listener*(const ListenAddress&)> shared_listener_;
  CronTimer cron_;
  std::function<void(std::string_view type, const Json& data)> on_event_;
  std::unique_ptr<EnvFiles> env_files_;
  std::unique_ptr<ProgramWatch> watch_;
  std::unique_ptr<Worker> worker_;
  bool begun_ = false, watching_ = false;
  std::shared_ptr<void> alive_ = std::make_shared<int>();
};

}  // namespace zeroth
