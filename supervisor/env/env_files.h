#pragma once
// The env files of one worker while its supervisor runs: read on the pool, watched, and taken completely or not at all.
// A file that is wrong or missing leaves the variables as they were and is told once. Owned by Member; knows no worker.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/diagnostic.h"
#include "common/loop/loop.h"
#include "supervisor/env/variables.h"
#include "supervisor/start_error.h"
#include "supervisor/watch/file_watcher.h"

namespace zeroth {

class EnvFiles {
 public:
  struct Settings {
    std::shared_ptr<InotifyHub> inotify = nullptr;  // to share with other watchers; null: one of its own
    std::vector<std::string> paths;                 // as they were given; a later one counts for more
    std::optional<Milliseconds> quiet;
    bool poll = false;
    std::optional<Milliseconds> poll_interval;
  };
  struct Hooks {
    // What the variables are has changed; the files that differ, and when that was first seen.
    std::function<void(const std::vector<std::string>& files, MonotonicTime began)> on_change;
    // A file is wrong, told once: wrong() says what. Nothing else has changed.
    std::function<void()> on_wrong;
    std::function<void(const std::string& after)> on_right;  // again, "32 s" later
    std::function<void(std::string_view level, const std::string&)> on_note;
  };
  // What keeps the newest content from counting.
  struct Wrong {
    std::string file;
    std::string message;  // one line: ".env:3:10: this quote is never closed"
    Json diagnostics;     // a list as Diagnostics become JSON
    WallTime at{};
    MonotonicTime since{};
  };

  EnvFiles(Loop& loop, Settings settings, Hooks hooks);

  // Whether these could be read now; blocks. The message is for people, with the places.
  static tl::expected<void, StartError> check(const std::vector<std::string>& paths);

  // The first reading: blocks, and calls no hook but on_note. The message is for people, with the places.
  tl::expected<void, StartError> read();
  void watch();
  void stop();
  // Now, and without waiting whether somebody is still writing. After `done` what the files said after this call
  // counts, or wrong() says why it does not.
  void read_again(std::function<void()> done);

  const std::vector<std::string>& paths() const { return settings_.paths; }
  // Of the newest files that were right.
  const EnvMap& variables() const { return good_.variables; }
  // "FILE:LINE" of one of them.
  std::string origin_of(const std::string& name) const;
  const std::optional<Wrong>& wrong() const { return wrong_; }

 private:
  struct Place {
    std::size_t file = 0;
    std::uint32_t line = 0;
  };
  struct Reading {
    EnvMap variables;
    std::map<std::string, Place> places;
    std::vector<std::string> passed_over;  // names that are ours
    std::vector<std::string> hashes;       // one a file
    bool empty = false;                    // a file has no bytes
    std::optional<Wrong> wrong;
    int exit_code = 0;  // if it is wrong
  };
  static tl::expected<void, StartError> usable(const Reading& reading);
  static Reading read_all(const std::vector<std::string>& paths);
  static bool read_one(Reading& reading, std::size_t index, const std::string& path);
  void look(bool certain, bool stood_still);
  void on_read(Reading reading, bool certain, bool stood_still);
  void take(Reading reading);
  void complain(Wrong wrong);
  void note_passed_over(const Reading& reading);

  Loop& loop_;
  const Settings settings_;
  Hooks hooks_;
  std::unique_ptr<FileWatcher> watcher_;
  Timer still_;
  Reading good_;
  std::optional<Wrong> wrong_;
  std::vector<std::string> told_passed_over_;
  bool reading_ = false, again_ = false;
  std::optional<MonotonicTime> began_;  // of the change that is being read
  std::vector<std::function<void()>> waiting_, asked_;
  std::shared_ptr<void> alive_ = std::make_shared<int>();
};

}  // namespace zeroth
