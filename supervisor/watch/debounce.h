#pragma once
// The settle rule: when has a burst of file events ended, so that it may be reported? Pure; the clock is passed in.
// FileWatcher feeds it and asks when it is due.
//
//   idle     nothing happened since the last clear()
//   pending  due `quiet` after the last event, later while a file is open that was modified, never after `longest`

#include <map>
#include <optional>
#include <string>

#include "common/clock.h"

namespace zeroth {

struct SettleTimes {
  Milliseconds quiet{0};       // from the last event; 0: a complete save is due at once
  Milliseconds open{500};      // how long a modified file may stay open before it counts as saved
  Milliseconds longest{2000};  // from the first event, however many follow
};

// The quiet time: none for one file, 20 ms for a folder or several files, 100 ms if their worker is stopped first.
Milliseconds default_quiet(bool one_file, bool recreate);

class Debounce {
 public:
  explicit Debounce(SettleTimes times) : times_(times) {}
  void set_quiet(Milliseconds quiet) { times_.quiet = quiet; }

  // Closed after writing, renamed into place, found anew: `path` is complete.
  void saved(const std::string& path, MonotonicTime now);
  // Written to, created or taken away by a writer who is not done with `path`: waits for saved().
  void modified(const std::string& path, MonotonicTime now);

  // When to report; nullopt while idle.
  std::optional<MonotonicTime> due() const;
  // Time of the first event; only while pending.
  MonotonicTime first() const { return *first_; }
  // Somebody is not done with a file.
  bool writing() const { return !open_.empty(); }
  void clear();

 private:
  SettleTimes times_;
  std::optional<MonotonicTime> first_;
  MonotonicTime last_{};
  std::map<std::string, MonotonicTime> open_;  // path -> its first modification since it was last complete
};

}  // namespace zeroth
