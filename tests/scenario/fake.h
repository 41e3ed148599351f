#pragma once
// What the scenarios with the scripted worker share: a supervisor on it, and looking at what came of an edit.

#include <doctest/doctest.h>
#include <poll.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/support/daemon.h"
#include "tests/support/run_process.h"

namespace zeroth::scenario {

constexpr const char* kRareSnapshots = "10s";  // apart: the cut is what counts

// A supervisor on fake_worker; an edit of its behaviour is a reload.
class FakeDaemon : public Daemon {
 public:
  explicit FakeDaemon(const Json& behaviour = Json::object(), std::vector<std::string> options = {})
      : Daemon(dump(behaviour), with_command(std::move(options)), "behaviour.json") {}

  void edit(const Json& behaviour) const { write_renamed(dump(behaviour)); }
  std::int64_t count() { return ask("get")["count"]; }
  void increment(std::int64_t by) { ask("inc", {{"by", by}}); }
  // Lies where the worker's `touch` and `wait` look.
  std::string beside(const std::string& file) const { return folder_of_program() + "/" + file; }
  void touch(const std::string& file) const { dir().write("code/" + file, ""); }

 private:
  std::string folder_of_program() const { return dir().path("code"); }
  static std::vector<std::string> with_command(std::vector<std::string> options) {
    options.insert(options.end(), {kCommand, built("fake_worker")});
    return options;
  }
};

// A behaviour with one thing wrong, in these generations (none: in all).
inline Json behaviour_at(const std::string& point, const Json& action, std::vector<int> generations = {}) {
  Json behaviour = {{"at", {{point, action}}}};
  if (!generations.empty()) behaviour["generations"] = generations;
  return behaviour;
}

// The receipt of the attempt that ended in a verdict other than ok; it is told by `rejected` or `reload`.
inline Json wait_verdict(FakeDaemon& daemon, const std::string& verdict, Milliseconds deadline = kPatience) {
  return daemon.wait_until([&](const Json& worker) { return worker["last_reload"]["verdict"] == verdict; },
                           deadline)["last_reload"];
}

// Until the worker has touched this file.
inline void wait_for_mark(const std::string& path) {
  const MonotonicTime until = monotonic_now() + kPatience;
  while (::access(path.c_str(), F_OK) != 0) {
    REQUIRE_MESSAGE(monotonic_now() < until, "the step was not reached: ", path);
    ::poll(nullptr, 0, 2);
  }
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace zeroth::scenario
