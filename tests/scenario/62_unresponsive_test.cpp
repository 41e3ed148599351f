// A supervisor that does not answer, or is dead and not yet waited for: what zerothctl makes of it.

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/exit_codes.h"
#include "tests/scenario/scenario.h"
#include "tests/support/run_process.h"

namespace zeroth::scenario {
namespace {

ProcessResult ask_ctl(const Daemon& daemon, std::vector<std::string> words) {
  words.insert(words.begin(), built("zerothctl"));
  return run_process(words, daemon.environment());
}

}  // namespace

TEST_CASE("unresponsive: a supervisor that is stopped is refused without --force, and ends with it") {
  Daemon daemon(kDay);
  REQUIRE(::kill(daemon.pid(), SIGSTOP) == 0);
  REQUIRE(::waitpid(daemon.pid(), nullptr, WUNTRACED) == daemon.pid());
  const ProcessResult status = ask_ctl(daemon, {"status"});
  CHECK(status.exit_code == kExitTaken);
  CHECK(says(status.out, "unresponsive"));
  const ProcessResult refused = ask_ctl(daemon, {"stop"});
  CHECK(refused.exit_code == kExitTaken);
  CHECK(says(refused.err, "stop --force"));
  const ProcessResult forced = ask_ctl(daemon, {"stop", "--force"});
  CHECK(forced.exit_code == kExitOk);
  CHECK(forced.out == "Stopped\n");
  CHECK(daemon.wait_exit() == kExitOk);
  CHECK(daemon.wait_no_workers());
  CHECK(ask_ctl(daemon, {"status"}).out == "stopped\n");
  daemon.launch();
  daemon.wait_ready();
}

TEST_CASE("unresponsive: a supervisor that is dead and not waited for is gone") {
  Daemon daemon(kDay);
  REQUIRE(::kill(daemon.pid(), SIGKILL) == 0);
  siginfo_t ended{};
  REQUIRE(::waitid(P_PID, static_cast<id_t>(daemon.pid()), &ended, WEXITED | WNOWAIT) == 0);
  const ProcessResult status = ask_ctl(daemon, {"status"});
  CHECK(status.exit_code == kExitNotRunning);
  CHECK(status.out.starts_with("stale\n"));
  CHECK(ask_ctl(daemon, {"stop"}).exit_code == kExitNotRunning);
  CHECK(ask_ctl(daemon, {"status"}).out == "stopped\n");
  CHECK(daemon.wait_exit() == 128 + SIGKILL);
}

}  // namespace zeroth::scenario
