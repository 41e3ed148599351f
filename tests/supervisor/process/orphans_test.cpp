#include "supervisor/process/orphans.h"

#include <doctest/doctest.h>
#include <signal.h>

#include <set>

#include "supervisor/process/child.h"
#include "supervisor/process/process_identity.h"
#include "tests/support/run_until.h"

namespace zeroth {
namespace {

// Double-forks a process that ignores TERM, and says its pid. setsid leaves group and session.
std::string leave_behind(const std::string& how) {
  return "(" + how + " sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1000; done' &) ; exit 0";
}

struct OrphansFixture {
  Loop loop;
  std::set<pid_t> children;
  Orphans orphans{loop, [this](pid_t pid) { return children.contains(pid); }};

  OrphansFixture() { REQUIRE(Orphans::become_subreaper()); }

  // Runs a worker's script to its end; what it left is an orphan then.
  struct Left {
    pid_t leader = 0;
    pid_t orphan = 0;
  };
  Left run_worker(const std::string& generation, const std::string& script, bool with_names = true) {
    SpawnRequest request;
    request.argv = {"/bin/sh", "-c", script};
    request.env = {"PATH=/usr/bin:/bin"};
    request.new_session = true;
    if (with_names) request.env.insert(request.env.end(), {"ZEROTH_WORKER=web", "ZEROTH_GENERATION=" + generation});
    std::string out;
    bool ended = false;
    Child::Hooks hooks;
    hooks.kill_group_at_exit = false;
    hooks.on_output = [&](OutputStream, std::string_view bytes) { out += bytes; };
    hooks.on_exit = [&](const ExitInfo&) { ended = true; };
    const auto child = Child::start(loop, request, std::move(hooks));
    REQUIRE(child);
    const pid_t pid = (*child)->pid();
    children.insert(pid);
    REQUIRE(run_until(loop, [&] { return ended && out.ends_with('\n'); }));
    children.erase(pid);
    return {pid, std::stoi(out)};
  }

  bool gone(pid_t pid) { return !read_proc_stat(pid); }
};

}  // namespace

TEST_CASE_FIXTURE(OrphansFixture,
                  "orphans: one that left its session and ignores TERM is found by environment and killed") {
  const Left left = run_worker("16", leave_behind("setsid"));
  const Left other = run_worker("17", leave_behind("setsid"));
  bool done = false;
  orphans.kill_of({"web", 16, left.leader}, [&](std::vector<pid_t> remaining) {
    CHECK(remaining.empty());
    done = true;
  });
  REQUIRE(run_until(loop, [&] { return done && gone(left.orphan); }));
  CHECK_FALSE(gone(other.orphan));
  done = false;
  orphans.kill_all([&](std::vector<pid_t>) { done = true; });
  CHECK(run_until(loop, [&] { return done && gone(other.orphan); }));
  CHECK(orphans.find().empty());
}

TEST_CASE_FIXTURE(OrphansFixture, "orphans: without names in the environment the session tells") {
  const Left same = run_worker("", leave_behind(""), false);
  const Left other = run_worker("", leave_behind("setsid"), false);
  bool done = false;
  orphans.kill_of({"web", 16, same.leader}, [&](std::vector<pid_t>) { done = true; });
  REQUIRE(run_until(loop, [&] { return done && gone(same.orphan); }));
  CHECK_FALSE(gone(other.orphan));
  orphans.kill_all([](std::vector<pid_t>) {});
  CHECK(run_until(loop, [&] { return gone(other.orphan); }));
}

TEST_CASE_FIXTURE(OrphansFixture, "orphans: one that ends by itself is reaped, a Child is left to its owner") {
  const Left left = run_worker("16", "(setsid sh -c 'echo $$; read x </dev/null' &)");
  CHECK(run_until(loop, [&] { return gone(left.orphan); }));
  for (int i = 0; i < 50; ++i) {
    SpawnRequest request;
    request.argv = {"/bin/sh", "-c", "(true &) ; exit 7"};
    request.env = {"PATH=/usr/bin:/bin"};
    std::optional<int> code;
    Child::Hooks hooks;
    hooks.on_exit = [&](const ExitInfo& info) { code = info.code.value_or(-1); };
    const auto child = Child::start(loop, request, std::move(hooks));
    REQUIRE(child);
    children.insert((*child)->pid());
    REQUIRE(run_until(loop, [&] { return code.has_value(); }));
    children.erase((*child)->pid());
    CHECK(code == 7);
  }
  CHECK(run_until(loop, [&] { return orphans.find().empty(); }));
}

}  // namespace zeroth
