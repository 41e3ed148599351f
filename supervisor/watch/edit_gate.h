#pragma once
// Between the watcher and the reload, for commands: holds back what the command writes itself, or it would reload for
// ever. The decisions are LoopDetector's; this gives it time and paths. Owned by Supervisor.

#include <functional>
#include <set>
#include <string>

#include "common/loop/loop.h"
#include "supervisor/watch/file_watcher.h"
#include "supervisor/watch/loop_detector.h"

namespace zeroth {

class EditGate {
 public:
  // `trusted`: real paths of files that are the program itself. `on_edit` gets what is to be reloaded, `on_note` one
  // line for people when a file is not watched any more.
  EditGate(Loop& loop, std::set<std::string> trusted, std::function<void(const Changes&)> on_edit,
           std::function<void(const std::string&)> on_note);

  // A generation was started, went live or ended.
  void on_generation() { detector_.on_generation(monotonic_now()); }
  void on_change(const Changes& changes);
  // Somebody restarted by hand: everything is watched again.
  void reset() { detector_.reset(); }

 private:
  void schedule();
  void on_due();

  LoopDetector detector_;
  const std::function<void(const Changes&)> on_edit_;
  const std::function<void(const std::string&)> on_note_;
  Timer timer_;
};

}  // namespace zeroth
