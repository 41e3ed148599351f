// States of another schema: passed on to code that announced `migrate`, and to no other; there and back.

#include <csignal>

#include "tests/scenario/fake.h"
#include "tests/scenario/scenario.h"

namespace zeroth::scenario {
namespace {

const Json kFirst = {{"schema", "fake/1"}};
const Json kSecond = {{"schema", "fake/2"}};
const Json kSecondMigrating = {{"schema", "fake/2"}, {"migrate", true}, {"ignore_term", true}};
const Json kFirstMigrating = {{"schema", "fake/1"}, {"migrate", {"fake/0", "fake/2"}}};

const std::vector<std::string> kNoPeriodic = {"--checkpoint-interval", "0"};

std::vector<std::string> in_mode(const char* mode) {
  return {"--checkpoint-interval", "0", "--reload", mode};
}

Json newest_snapshot(FakeDaemon& daemon) {
  return daemon.ask("snapshot", {{"sequence", daemon.ask("checkpoint")["sequence"]}});
}

}  // namespace

TEST_CASE("migration: there and back, 1 to 2 to 1, in each mode") {
  for (const char* mode : {"overlap", "recreate", "exec"}) {
    CAPTURE(mode);
    FakeDaemon daemon(kFirst, in_mode(mode));
    daemon.increment(5);
    daemon.edit(kSecondMigrating);
    const Json there = daemon.wait_generation(2)["last_reload"];
    CHECK(there["migrated"] == Json{{"from", "fake/1"}, {"to", "fake/2"}});
    CHECK(daemon.count() == 5);
    daemon.increment(2);
    const Json second = newest_snapshot(daemon);
    CHECK(second["schema"] == "fake/2");
    CHECK(second["state"] == Json{{"total", 7}});
    daemon.edit(kFirstMigrating);
    const Json back = daemon.wait_generation(3)["last_reload"];
    CHECK(back["migrated"] == Json{{"from", "fake/2"}, {"to", "fake/1"}});
    CHECK(daemon.count() == 7);
    const Json first = newest_snapshot(daemon);
    CHECK(first["schema"] == "fake/1");
    CHECK(first["state"] == Json{{"count", 7}});
  }
}

TEST_CASE("migration: without it the reload is rejected before anybody is held, and says what can be done") {
  FakeDaemon daemon(kFirst, in_mode("overlap"));
  const pid_t pid = daemon.worker_pid();
  daemon.increment(5);
  daemon.ask("checkpoint");
  Json code = kSecond;
  std::string reason = "the state has schema fake/1, the code has fake/2 and announced no migration";
  SUBCASE("nothing announced") {}
  SUBCASE("others announced") {
    code["migrate"] = {"fake/0", "fake/3"};
    reason = "the state has schema fake/1, the code has fake/2 and migrates only fake/0, fake/3";
  }
  EventStream states = daemon.events({"worker-state", "rejected"});
  daemon.edit(code);
  const Json receipt = wait_verdict(daemon, "rejected");
  CHECK(receipt["reason"] == reason);
  CHECK(says(receipt["hint"].get<std::string>(), "migrate"));
  CHECK(says(receipt["hint"].get<std::string>(), "restart --fresh"));
  const Json worker = daemon.worker();
  CHECK(worker["state"] == "ready");
  CHECK(worker["pid"] == pid);
  CHECK(worker["rejected"]["reason"] == reason);
  CHECK(worker["rejected"]["hint"] == receipt["hint"]);
  states.wait_for("rejected");  // the first thing that was told: it was never reloading
  daemon.increment(1);
  CHECK(daemon.count() == 6);
}

TEST_CASE("migration: what was migrated survives every death") {
  FakeDaemon daemon(kFirst, kNoPeriodic);
  daemon.increment(5);
  daemon.edit(kSecondMigrating);
  daemon.wait_generation(2);
  daemon.increment(2);
  SUBCASE("of the worker") {
    daemon.ask("checkpoint");
    daemon.kill_worker();
    daemon.wait_generation(3);
  }
  SUBCASE("of the supervisor, by way of the emergency file") {
    daemon.kill_supervisor();
    CHECK(daemon.wait_no_workers());
    daemon.restart();
  }
  SUBCASE("a stop, and an edit that takes it back to the first schema") {
    CHECK(daemon.terminate() == 0);
    daemon.edit(kFirstMigrating);
    daemon.restart();
    CHECK(daemon.worker()["last_reload"]["migrated"] == Json{{"from", "fake/2"}, {"to", "fake/1"}});
  }
  CHECK(daemon.count() == 7);
}

TEST_CASE("migration: a start with code that does not take the kept state fails and touches nothing") {
  FakeDaemon daemon(kFirst, kNoPeriodic);
  daemon.increment(5);
  CHECK(daemon.terminate() == 0);
  const auto kept = daemon.snapshot_files();
  daemon.edit(kSecond);
  daemon.launch();
  CHECK(daemon.wait_exit() != 0);
  CHECK(says(daemon.err(), "the state has schema fake/1, the code has fake/2"));
  CHECK(daemon.snapshot_files() == kept);
  daemon.edit(kSecondMigrating);
  daemon.restart();
  CHECK(daemon.count() == 5);
}

TEST_CASE("migration: a snapshot carries the schema that the worker answered") {
  FakeDaemon daemon({{"faults", {"answers_other_schema"}}}, kNoPeriodic);
  CHECK(newest_snapshot(daemon)["schema"] == "fake/other");
  daemon.edit(kFirst);
  CHECK(says(wait_verdict(daemon, "abandoned")["reason"].get<std::string>(), "the state has schema fake/other"));
}

TEST_CASE("migration: a bad announcement is refused and named") {
  FakeDaemon daemon(kFirst, in_mode("overlap"));
  for (const Json& bad : {Json(7), Json("fake/1"), Json::array({"fake/1", 2}), Json::array({""}), Json::object()}) {
    CAPTURE(bad);
    const std::uint64_t before = daemon.worker()["last_reload"].value("to", 0);
    daemon.edit({{"schema", "fake/2"}, {"migrate", bad}});
    const Json worker = daemon.wait_until([&](const Json& now) {
      return now["last_reload"]["verdict"] == "rejected" && now["last_reload"]["to"].get<std::uint64_t>() > before;
    });
    CHECK(says(worker["last_reload"]["reason"].get<std::string>(), "migrate: expected true or a list of the schemas"));
  }
}

TEST_CASE("migration: check says which kept states the code takes, and never goes live") {
  FakeDaemon daemon(kFirst, {"--checkpoint-interval", "0", "--no-watch"});
  daemon.increment(5);
  daemon.ask("checkpoint");
  const pid_t pid = daemon.worker_pid();
  daemon.edit(kSecond);
  const Json refused = daemon.ask("check", {{"last", 2}});
  CHECK(refused["verdict"] == "refused");
  CHECK(refused["schema"] == "fake/2");
  REQUIRE(refused["snapshots"].size() == 1);
  CHECK(refused["snapshots"][0]["verdict"] == "refused");
  CHECK(says(refused["snapshots"][0]["reason"].get<std::string>(), "the state has schema fake/1, the code has fake/2"));
  daemon.edit(kSecondMigrating);
  const Json taken = daemon.ask("check", {{"last", 2}});
  CHECK(taken["verdict"] == "ok");
  CHECK(taken["snapshots"][0]["migrated"] == Json{{"from", "fake/1"}, {"to", "fake/2"}});
  const ProcessResult told = run_process({built("zerothctl"), "check", "--last", "1"}, daemon.environment());
  CHECK(says(told.out, "migrated from fake/1 to fake/2"));
  CHECK(daemon.worker_pid() == pid);
  CHECK(daemon.count() == 5);
}

TEST_CASE("migration: --verify-restore does not compare what was migrated, and says so") {
  FakeDaemon daemon(kFirst, {"--verify-restore", "--checkpoint-interval", "0"});
  daemon.increment(5);
  daemon.edit(kSecondMigrating);
  const Json receipt = daemon.wait_generation(2)["last_reload"];
  REQUIRE(receipt["warnings"].size() == 1);
  CHECK(says(receipt["warnings"][0].get<std::string>(), "migrated"));
  CHECK(daemon.count() == 5);
}

TEST_CASE("migration: rollbacks across schemas, both ways") {
  FakeDaemon daemon(kFirst, kNoPeriodic);
  daemon.increment(5);
  const Json old_state = daemon.ask("checkpoint")["sequence"];
  daemon.edit(kSecondMigrating);
  daemon.wait_generation(2);
  daemon.increment(2);
  // The old state, by the new code.
  const Json there = daemon.ask("rollback", {{"sequence", old_state}, {"state_only", true}});
  CHECK(there["verdict"] == "ok");
  CHECK(there["migrated"] == Json{{"from", "fake/1"}, {"to", "fake/2"}});
  CHECK(daemon.count() == 5);
  const Json newer_state = there["pinned"];
  // The old code on disk does not take the living state; the newest that it takes is named, and goes with it.
  daemon.edit(kFirst);
  const Json refused = wait_verdict(daemon, "rejected");
  const std::string hint = refused["hint"];
  const std::string command = "zerothctl rollback --sequence ";
  REQUIRE(says(hint, command));
  const auto sequence = std::stoull(hint.substr(hint.find(command) + command.size()));
  CHECK(daemon.ask("snapshot", {{"sequence", sequence}})["schema"] == "fake/1");
  CHECK(daemon.ask("rollback", {{"sequence", sequence}, {"state_only", true}})["verdict"] == "ok");
  CHECK(daemon.count() == 5);
  // And the state of the newer schema is none for it.
  const Json not_back = daemon.ask("rollback", {{"sequence", newer_state}, {"state_only", true}});
  CHECK(not_back["verdict"] == "rejected");
  CHECK(says(not_back["reason"].get<std::string>(), "the state has schema fake/2, the code has fake/1"));
  CHECK(daemon.count() == 5);
}

}  // namespace zeroth::scenario
