#pragma once
// Owns and connects: the instance's lock and folders, the worker, its watcher, the control socket, log and console.
// Every decision is somebody else's. main makes one and runs it.

#include <memory>
#include <string>
#include <vector>

#include "common/loop/loop.h"
#include "supervisor/console.h"
#include "supervisor/control/control_commands.h"
#include "supervisor/control/control_server.h"
#include "supervisor/event_hub.h"
#include "supervisor/instance/identity.h"
#include "supervisor/instance/instance_lock.h"
#include "supervisor/instance/instance_record.h"
#include "supervisor/log.h"
#include "supervisor/options.h"
#include "supervisor/process/orphans.h"
#include "supervisor/slow_start.h"
#include "supervisor/start_error.h"
#include "supervisor/watch/default_targets.h"
#include "supervisor/watch/edit_gate.h"
#include "supervisor/watch/file_watcher.h"
#include "supervisor/worker/worker.h"

namespace zeroth {

class Supervisor {
 public:
  // Takes the lock, binds the socket, writes pid file and record: after this the instance is ours. Nothing runs yet.
  static tl::expected<std::unique_ptr<Supervisor>, StartError> create(Options options);
  ~Supervisor();

  // Until it is told to stop; the exit status. Lets through the signals that main held back.
  int run();

 private:
  explicit Supervisor(Options options);
  tl::expected<void, StartError> claim();
  tl::expected<void, StartError> open_listeners();
  tl::expected<void, StartError> open_worker();
  void watch();
  void open_gate();
  void reload_edited(const Changes& changes);
  void on_signal();
  Status write_record();
  void ask_for_place();
  void keep_place();
  void yield_place(const Error& why);
  void restore_socket();
  void shutdown(bool insist, Worker::Reply reply);
  void leave();
  void end(int exit_code);
  Json status() const;

  Loop loop_;
  Options options_;
  Identity identity_;
  Folders folders_;
  std::string fingerprint_;
  std::unique_ptr<InstanceLock> lock_;
  InstanceRecord record_;
  bool record_due_ = false;  // it could not be written again yet
  WallTime started_at_ = wall_now();
  MonotonicTime started_ = monotonic_now();

  EventHub events_;
  std::unique_ptr<Log> log_;
  std::unique_ptr<Console> console_;
  std::unique_ptr<Orphans> orphans_;
  std::unique_ptr<Worker> worker_;
  WhatRuns what_runs_;
  std::unique_ptr<EditGate> gate_;
  std::unique_ptr<FileWatcher> watcher_;
  std::shared_ptr<const WatchScope> scope_;
  ControlTargets targets_;
  std::unique_ptr<ControlServer> control_;
  std::vector<std::unique_ptr<SignalWatch>> signals_;
  std::vector<Listener> listeners_;
  OutputLog::Subscription output_;
  std::unique_ptr<SlowStart> progress_;
  std::unique_ptr<Timer> keep_socket_;
  int stop_signals_ = 0;
  int exit_code_ = 0;
  std::shared_ptr<void> alive_ = std::make_shared<int>();
};

}  // namespace zeroth
