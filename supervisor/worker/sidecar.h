#pragma once
// Writes the compiled .z beside a .zero that went live, by running `zeroth-worker compile` on the kept copy.

#include <functional>
#include <memory>
#include <string>

#include "common/loop/loop.h"
#include "supervisor/process/starter.h"

namespace zeroth {

class Sidecar {
 public:
  // `program`: the user's file; anything but a .zero has no sidecar.
  Sidecar(Loop& loop, std::string worker_binary, const std::string& program, bool enabled,
          std::function<void(const std::string&)> on_note);
  // A compilation under way is ended, and what it had written is removed.
  ~Sidecar();
  Sidecar(const Sidecar&) = delete;
  Sidecar& operator=(const Sidecar&) = delete;

  void write(const std::string& copy);
  // May this be the process that compiles?
  bool owns(pid_t pid) const { return starter_.awaited() || (child_ && child_->running() && child_->pid() == pid); }

 private:
  void warn(const std::string& why);  // once

  Loop& loop_;
  Starter starter_;
  const std::string worker_binary_;
  std::string output_;
  bool enabled_;
  std::function<void(const std::string&)> on_note_;
  std::unique_ptr<Child> child_;
  std::string said_;
  std::string next_;  // asked for while one was being written
  bool warned_ = false;
};

}  // namespace zeroth
