// Params that would change what a command does are obeyed or refused, never ignored.

#include "common/exit_codes.h"
#include "tests/scenario/scenario.h"
#include "tests/support/run_process.h"

namespace zeroth::scenario {
namespace {

// The message of a refusal for its params.
std::string bad_params_of(Daemon& daemon, std::string_view command, const Json& params) {
  const auto answer = daemon.call(command, params);
  const std::string asked = std::string(command) + " " + params.dump();
  REQUIRE_MESSAGE(!answer, asked);
  CHECK_MESSAGE(answer.error().code == ErrorCode::BadParams, asked);
  return answer.error().message;
}

}  // namespace

TEST_CASE("params: start, restart and reload refuse wrong types and what contradicts itself") {
  Daemon daemon(kDay);
  for (const char* command : {"start", "restart", "reload"}) {
    for (const char* flag : {"fresh", "release", "force", "all", "wait"})
      CHECK(bad_params_of(daemon, command, {{flag, 1}}) == std::string(flag) + ": expected true or false");
    CHECK(bad_params_of(daemon, command, {{"fresh_key", 1}}) == "fresh_key: expected text, or a list of texts");
    CHECK(says(bad_params_of(daemon, command, {{"fresh_key", "speed"}, {"fresh", true}}), "give one of them"));
    CHECK(daemon.refused(command, {{"fresh_key", "speed"}}).code == ErrorCode::Refused);
  }
  for (const char* command : {"stop", "shutdown"}) bad_params_of(daemon, command, {{"force", "yes"}});
  CHECK(daemon.generation() == 1);
  CHECK(daemon.ask("start", {{"fresh", true}})["verdict"] == "unchanged");
  CHECK(daemon.generation() == 1);
  CHECK(daemon.ask("restart", {{"fresh", false}, {"release", nullptr}, {"wait", true}})["verdict"] == "ok");
  CHECK(daemon.generation() == 2);
  CHECK(daemon.ask("restart", {{"wait", false}}) == Json{{"accepted", true}});
  daemon.wait_generation(3);
}

TEST_CASE("params: observe leaves out as many as it is told, and refuses a negative number") {
  Daemon daemon(kDay, kStandingStill);
  CHECK(says(bad_params_of(daemon, "observe", {{"offset", -1}}), "offset"));
  const Json all = daemon.ask("observe", {{"passive", true}});
  const Json rest = daemon.ask("observe", {{"passive", true}, {"offset", 1}});
  CHECK(all["projection"].size() == 3);
  CHECK(rest["projection"].size() == 2);
  CHECK_FALSE(rest["projection"].contains(all["dominant_state"].get<std::string>()));
  CHECK(rest["dominant_state"] == all["dominant_state"]);
  CHECK(daemon.ask("observe", {{"offset", 1'000'000}})["projection"].empty());
}

TEST_CASE("params: an event type that there is not is refused, naming those that there are") {
  Daemon daemon(kDay);
  const std::string message = bad_params_of(daemon, "events", {{"types", {"reload", "nope"}}});
  CHECK(says(message, "there is no 'nope'"));
  CHECK(says(message, "worker-state, reload, rejected, crash, checkpoint, snapshot-rejected, env, log, beat"));
}

TEST_CASE("params: a snapshot that there is not is said to be none") {
  Daemon daemon(kDay);
  const ProcessResult result = run_process({built("zerothctl"), "snapshot", "999"}, daemon.environment());
  CHECK(result.exit_code == kExitFailed);
  CHECK(result.err == "zerothctl: there is no snapshot 999 (see zerothctl snapshots)\n");
}

}  // namespace zeroth::scenario
