#pragma once
// The files whose change means a reload: which they are, who notices, and which changes count. Knows no worker: it
// reports a complete change to its owner.

#include <functional>
#include <memory>
#include <string>

#include "common/loop/loop.h"
#include "supervisor/options.h"
#include "supervisor/watch/default_targets.h"
#include "supervisor/watch/edit_gate.h"
#include "supervisor/watch/file_watcher.h"

namespace zeroth {

class ProgramWatch {
 public:
  struct Hooks {
    std::function<void(const Changes&)> on_edit;      // also before it has settled
    std::function<void(const std::string&)> on_note;  // for a person to know
  };

  // `not_watched`: paths of our own that are never a change. `inotify`: shared with other programs' watches.
  ProgramWatch(Loop& loop, const Options& options, std::vector<std::string> not_watched,
               std::shared_ptr<InotifyHub> inotify, Hooks hooks);

  // What is watched, and hashed to know whether it changed.
  const std::shared_ptr<const WatchScope>& scope() const { return scope_; }
  void start();
  void stop() { watcher_.reset(); }
  // A generation was spawned, sent go, or is over: what it writes itself is told from edits by these moments.
  // `recreate`: the mode in which the next one follows.
  void on_generation(bool recreate);
  // Somebody asked for a restart: files that were passed over for being written by the worker count again.
  void on_restart();
  std::size_t files() const { return watcher_ ? watcher_->files() : 0; }
  std::string_view mode() const;  // "inotify", "poll" or "off"

 private:
  void open_gate();

  Loop& loop_;
  const Options& options_;
  WhatRuns what_runs_;
  std::shared_ptr<InotifyHub> inotify_;
  Hooks hooks_;
  std::shared_ptr<const WatchScope> scope_;
  std::unique_ptr<EditGate> gate_;
  std::unique_ptr<FileWatcher> watcher_;
};

}  // namespace zeroth
