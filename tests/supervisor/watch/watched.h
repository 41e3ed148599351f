#pragma once
// A FileWatcher on a loop of its own that runs only while a test waits, and what it reported.

#include <doctest/doctest.h>
#include <fcntl.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/files.h"
#include "supervisor/watch/file_watcher.h"

namespace zeroth {

inline void put(const std::string& path, const std::string& bytes, int flags = O_TRUNC) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600));
  REQUIRE(fd);
  REQUIRE(write_all(fd.get(), bytes));
}

// A watcher on a loop that runs only inside wait() and turn().
struct Watched {
  explicit Watched(FileWatcher::Options options)
      : watcher(
            loop, std::move(options), [this](const Changes& changes) { seen.push_back(changes); },
            [this](const std::string& note) { notes.push_back(note); }) {
    watcher.start();
  }
  Watched(std::vector<std::string> targets, FileWatcher::Options options = {})
      : Watched(scoped(std::move(targets), std::move(options))) {}

  static FileWatcher::Options scoped(std::vector<std::string> targets, FileWatcher::Options options) {
    if (!options.scope) options.scope = std::make_shared<WatchScope>(std::move(targets), IgnoreRules());
    return options;
  }

  // Runs the loop until `done`; false if that takes longer than any machine needs.
  bool wait(const std::function<bool()>& done) {
    Timer deadline(loop);
    bool late = false;
    deadline.start(Milliseconds(120'000), [&] { late = true; });
    while (!done() && !late) uv_run(loop.uv(), UV_RUN_ONCE);
    return done();
  }
  void turn() { uv_run(loop.uv(), UV_RUN_NOWAIT); }

  bool has_seen(const std::string& path) const {
    return std::ranges::any_of(
        seen, [&](const Changes& changes) { return std::ranges::find(changes.paths, path) != changes.paths.end(); });
  }
  bool wait_for(const std::string& path) {
    return wait([&] { return has_seen(path); });
  }
  // The next report of a change of `path` from now on.
  bool wait_again(const std::string& path) {
    seen.clear();
    return wait_for(path);
  }

  Loop loop;
  std::vector<Changes> seen;
  std::vector<std::string> notes;
  FileWatcher watcher;
};

}  // namespace zeroth
