// What follows a crash: again, later, back to the code before, or waiting; and who gets out of that how.

#include <unistd.h>

#include <csignal>

#include "common/exit_codes.h"
#include "common/snapshot_format.h"
#include "tests/scenario/fake.h"
#include "tests/scenario/scenario.h"

namespace zeroth::scenario {
namespace {

constexpr Milliseconds kNothingComes{300};

// A scripted worker that cannot start while a file is missing: a service whose database is away.
class Service : public Daemon {
 public:
  explicit Service(std::vector<std::string> options)
      : Daemon("{}", with_command(std::move(options)), "behaviour.json") {}

  void take_away() const { dir().write("code/away", ""); }
  void bring_back() const { ::unlink(dir().path("code/away").c_str()); }

 private:
  static std::vector<std::string> with_command(std::vector<std::string> options) {
    const std::string script =
        "if [ -e \"${0%/*}/away\" ]; then echo 'no database' >&2; exit 1; fi; exec " + built("fake_worker") + " \"$0\"";
    options.insert(options.end(), {Daemon::kCommand, "sh", "-c", script});
    return options;
  }
};

Json wait_state(Daemon& daemon, const std::string& state) {
  return daemon.wait_until([&](const Json& worker) { return worker["state"] == state; });
}

Json wait_crash(EventStream& events, const std::string& next) {
  return events.wait_for("crash", [&](const Json& crash) { return crash["next"] == next; });
}

ProcessResult zerothctl(Daemon& daemon, std::vector<std::string> words) {
  words.insert(words.begin(), built("zerothctl"));
  return run_process(words, daemon.environment());
}

// Dies of a signal of its own, as far as anybody can see.
void crash_worker(Daemon& daemon) {
  REQUIRE(::kill(daemon.worker_pid(), SIGABRT) == 0);
}

}  // namespace

TEST_CASE("crash rules: a service whose database is away is given up, tried again, and comes back by itself") {
  Service service({"--max-failures", "4", "--retry-failed", "300ms"});
  service.ask("inc", {{"by", 7}});
  service.ask("checkpoint");
  EventStream crashes = service.events({"crash"});
  service.take_away();
  service.kill_worker();
  CHECK(wait_crash(crashes, "restart")["restart_in_ms"] == 0);
  const Json second = wait_crash(crashes, "restart");
  CHECK(second["meaning"] == "exited with code 1");
  CHECK(second["log_tail"] == Json::array({"no database"}));
  CHECK(second["restart_in_ms"] > 0);
  const Json last = wait_crash(crashes, "failed");
  CHECK(says(last["reason"], "4 failures in a row"));
  CHECK(last["restart_in_ms"] == 300);
  const Json failed = wait_state(service, "failed");
  CHECK(failed["pid"].is_null());
  CHECK(failed["last_failure"]["phase"] == "runtime");
  CHECK(says(failed["last_failure"]["summary"], "exited with code 1; giving up: 4 failures in a row"));
  CHECK(says(failed["last_failure"]["hint"], "zerothctl restart; it is tried again every 300 ms"));
  CHECK(failed["last_failure"]["log_excerpt"] == Json::array({"no database"}));
  CHECK(says(failed["waits_for"], "a save or 'zerothctl restart', or its next start"));
  CHECK(failed["next_start_in_s"].is_number());
  CHECK(service.status()["healthy"] == false);
  CHECK(service.status()["last_failure"] == failed["last_failure"]);
  wait_crash(crashes, "failed");  // tried again in vain
  service.bring_back();
  const Json back = wait_state(service, "ready");
  CHECK(back["last_reload"]["operation"] == "crash-restart");
  CHECK(back["last_failure"].is_null());
  CHECK(back["next_start_in_s"].is_null());
  CHECK(service.ask("get")["count"] == 7);
  CHECK(says(service.err(),
             "exited with code 1; giving up: 4 failures in a row; edit the program, or zerothctl restart"));
}

TEST_CASE("crash rules: zerothctl shows a failed worker, what to do, and restart gets it out of there") {
  Service service({"--max-failures", "3", "--retry-failed", "0"});
  service.take_away();
  service.kill_worker();
  const Json failed = wait_state(service, "failed");
  CHECK(failed["next_start_in_s"].is_null());
  const ProcessResult shown = zerothctl(service, {"status"});
  CHECK(shown.exit_code == 1);
  CHECK(says(shown.out, "failed"));
  CHECK(says(shown.out, "3 failures in a row"));
  CHECK(says(shown.out, "edit the program, or zerothctl restart"));
  CHECK(service.refused("get").code == ErrorCode::Unavailable);
  CHECK(zerothctl(service, {"restart"}).exit_code == 1);  // the database is still away
  wait_state(service, "failed");
  service.bring_back();
  const ProcessResult restarted = zerothctl(service, {"restart"});
  CHECK(restarted.exit_code == 0);
  CHECK(wait_state(service, "ready")["last_failure"].is_null());
  // The counter begins anew: two more deaths are not three in a row.
  for (int i = 0; i < 2; ++i) {
    const std::uint64_t before = service.generation();
    service.kill_worker();
    CHECK(service.wait_generation(before + 1)["last_reload"]["operation"] == "crash-restart");
  }
}

TEST_CASE("crash rules: restart works at once from backoff") {
  Service service({"--max-failures", "0"});
  EventStream crashes = service.events({"crash"});
  service.take_away();
  service.kill_worker();
  crashes.wait_for("crash", [](const Json& crash) { return crash["restart_in_ms"] >= 5'000; });
  const Json waits = wait_state(service, "backoff");
  CHECK(waits["waits_for"] == "its next start");
  CHECK(waits["next_start_in_s"] > 0);
  service.bring_back();
  CHECK(service.ask("restart")["verdict"] == "ok");
  CHECK(service.worker()["state"] == "ready");
}

TEST_CASE("crash rules: exit 0 waits for a save or a restart, and is no failure") {
  FakeDaemon daemon(behaviour_at("at_call", "exit 0", {1, 2}));
  EventStream told = daemon.events({"crash", "reload"});
  (void)daemon.call("inc");
  CHECK(wait_crash(told, "finished")["meaning"] == "exited with code 0");
  const Json finished = wait_state(daemon, "finished");
  CHECK(finished["last_failure"].is_null());
  CHECK(says(daemon.err(), "exited with code 0; waiting for a save"));
  CHECK(!told.next("reload", nullptr, kNothingComes));
  CHECK(daemon.ask("restart")["verdict"] == "ok");
  (void)daemon.call("inc");
  wait_state(daemon, "finished");
  daemon.edit({{"good", true}});
  CHECK(daemon.wait_generation(3)["last_reload"]["verdict"] == "ok");
  daemon.increment(1);
}

TEST_CASE("crash rules: an edit that is refused leaves a finished program finished") {
  Daemon daemon(kDay, {"--restart", "on-failure"});
  EventStream told = daemon.events({"worker-state", "crash"});
  // zeroth-worker ends with 0 when it is told to.
  REQUIRE(::kill(daemon.worker_pid(), SIGTERM) == 0);
  const Json state = told.wait_for(
      "worker-state", [](const Json& now) { return now["state"] == "finished" || now["state"] == "ready"; });
  if (state["state"] != "finished") return;  // it died of it: nothing to be seen here
  daemon.write_renamed(kBroken);
  told.wait_for("worker-state", [](const Json& now) { return now["state"] == "starting"; });
  CHECK(wait_state(daemon, "finished")["rejected"].is_object());
}

TEST_CASE("crash rules: --restart always and never") {
  FakeDaemon always(behaviour_at("at_call", "exit 0", {1}), {"--restart", "always"});
  (void)always.call("inc");
  CHECK(always.wait_generation(2)["last_reload"]["operation"] == "crash-restart");
  FakeDaemon never(Json::object(), {"--restart", "never"});
  EventStream told = never.events({"reload"});
  never.kill_worker();
  const Json failed = wait_state(never, "failed");
  CHECK(failed["next_start_in_s"].is_null());
  CHECK(says(failed["last_failure"]["summary"], "killed by SIGKILL; giving up: it is never restarted"));
  CHECK(!told.next("reload", nullptr, kNothingComes));
  CHECK(never.ask("restart")["verdict"] == "ok");
}

TEST_CASE("crash rules: the failures are forgotten when new code says hello, not before") {
  FakeDaemon daemon(behaviour_at("before_hello", "exit 3", {2, 3}), {"--max-failures", "3", "--retry-failed", "0"});
  daemon.kill_worker();
  wait_state(daemon, "failed");
  EventStream told = daemon.events({"crash"});
  daemon.edit(behaviour_at("before_hello", "exit 4"));  // does not get as far: one more failure in the same row
  CHECK(says(wait_crash(told, "failed")["reason"], "4 failures in a row"));
  CHECK(daemon.ask("generations")["generations"][0]["to"] == 4);
  daemon.edit(behaviour_at("before_loaded", "exit 5"));  // gets as far: three tries of its own
  CHECK(wait_crash(told, "restart")["code"] == 5);
  CHECK(says(wait_crash(told, "failed")["reason"], "3 failures in a row"));
  CHECK(daemon.ask("generations")["generations"][0]["to"] == 7);
  daemon.edit({{"good", true}});
  CHECK(daemon.wait_generation(8)["last_reload"]["verdict"] == "ok");
}

TEST_CASE("crash rules: new code that fails twice is rolled back until the next edit, and what it cost is told") {
  Daemon daemon(kDay, {"--rate", "1000", "--checkpoint-interval", "100ms"});
  const Json good = daemon.worker()["program_hash"];
  const Json bad = edit(daemon, std::string(kDay) + "# bad\n")["program_hash"];
  CHECK(bad != good);
  EventStream told = daemon.events({"crash", "reload", "checkpoint"});
  told.wait_for("checkpoint");
  crash_worker(daemon);
  CHECK(wait_crash(told, "restart")["signal"] == SIGABRT);
  CHECK(told.wait_for("reload", is_receipt)["to"] == 3);
  CHECK(daemon.worker()["program_hash"] == bad);
  crash_worker(daemon);
  wait_crash(told, "rolled back");
  const Json back = told.wait_for("reload", [](const Json& one) { return one["verdict"] == "rolled_back"; });
  CHECK(back["operation"] == "rollback");
  CHECK(back["cause"] == "rollback");
  CHECK(back["to"] == 4);
  CHECK(back["iteration_lost"].is_number());
  CHECK(back["iteration"] > 0);
  const Json worker = daemon.wait_generation(4);
  CHECK(worker["program_hash"] == good);
  CHECK(worker["rejected"]["hash"] == bad);
  CHECK(says(worker["rejected"]["reason"], "rolled back"));
  CHECK(daemon.ask("generations")["generations"][0]["verdict"] == "rolled_back");
  CHECK(says(daemon.err(), "rolled back to the code before"));
  // It is held back, also by the next supervisor.
  CHECK(worker["held_back"]["hash"] == bad);
  CHECK(worker["held_back"]["generation"] == 1);
  daemon.kill_supervisor();
  CHECK(daemon.wait_no_workers());
  daemon.restart();
  CHECK(daemon.worker()["program_hash"] == good);
  CHECK(daemon.worker()["held_back"]["hash"] == bad);
  const auto now = daemon.generation();
  told = daemon.events({"reload"});
  // Saved again with the same content it is not tried again; other content is.
  daemon.write_renamed(std::string(kDay) + "# bad\n");
  told.wait_for("reload", [](const Json& one) { return one["verdict"] == "unchanged"; });
  CHECK(daemon.worker()["generation"] == now);
  daemon.write_renamed(std::string(kDay) + "# better\n");
  const Json better = daemon.wait_generation(now + 1);
  CHECK(better["program_hash"] != bad);
  daemon.wait_until([](const Json& status) { return status["rejected"].is_null(); });
  CHECK(daemon.worker()["held_back"].is_null());
}

TEST_CASE("crash rules: kills from outside never roll back") {
  Daemon daemon(kDay);
  const Json hash = edit(daemon, std::string(kDay) + "# new\n")["program_hash"];
  EventStream told = daemon.events({"reload"});
  for (int i = 0; i < 3; ++i) {
    daemon.kill_worker();
    CHECK(told.wait_for("reload", is_receipt)["operation"] == "crash-restart");
  }
  CHECK(daemon.worker()["program_hash"] == hash);
}

TEST_CASE("crash rules: a command that fails twice after an edit goes on, and says why it is not rolled back") {
  FakeDaemon daemon;
  EventStream told = daemon.events({"crash", "reload"});
  daemon.edit({{"new", true}});
  CHECK(told.wait_for("reload", is_receipt)["to"] == 2);
  crash_worker(daemon);
  CHECK(wait_crash(told, "restart")["reason"] == "");
  CHECK(told.wait_for("reload", is_receipt)["to"] == 3);
  crash_worker(daemon);
  CHECK(says(wait_crash(told, "restart")["reason"], "the code before it is not kept"));
  daemon.wait_generation(4);
}

TEST_CASE("crash rules: a snapshot that its own code dies on twice is set aside, after once it is not") {
  for (const bool twice : {false, true}) {
    CAPTURE(twice);
    FakeDaemon daemon(behaviour_at("in_restore", "die", twice ? std::vector<int>{2, 3} : std::vector<int>{2}),
                      {"--checkpoint-interval", "0"});
    daemon.increment(4);
    daemon.ask("checkpoint");
    daemon.increment(1);
    const Json newest = daemon.ask("checkpoint")["sequence"];
    daemon.kill_worker();
    const Json worker = daemon.wait_generation(twice ? 4 : 3);
    CHECK(daemon.count() == (twice ? 4 : 5));
    CHECK(worker["snapshot"]["rejected"].size() == (twice ? 1 : 0));
    const std::string name = snapshot_name(newest.get<std::uint64_t>());
    CHECK(says(daemon.err(), "snapshot set aside: " + name) == twice);
    CHECK(::access((daemon.worker_dir() + "/snapshots/" + name).c_str(), F_OK) == 0);  // the file stays
  }
}

TEST_CASE("crash rules: a start that fails for another reason sets no snapshot aside") {
  FakeDaemon daemon(behaviour_at("before_loaded", "exit 1", {2, 3, 4}), {"--checkpoint-interval", "0"});
  daemon.increment(4);
  daemon.ask("checkpoint");
  daemon.kill_worker();
  CHECK(daemon.wait_generation(5)["snapshot"]["rejected"].empty());
  CHECK(daemon.count() == 4);
}

TEST_CASE("crash rules: when no snapshot is usable it fails, naming each, and never starts fresh by itself") {
  FakeDaemon daemon(behaviour_at("in_restore", "error", {2, 3}),
                    {"--checkpoint-interval", "0", "--retry-failed", "200ms"});
  Json names = Json::array();
  for (int i = 0; i < 2; ++i) {
    daemon.increment(1);
    names.push_back(snapshot_name(daemon.ask("checkpoint")["sequence"].get<std::uint64_t>()));
  }
  EventStream told = daemon.events({"crash"});
  daemon.kill_worker();
  for (int i = 0; i < 2; ++i) wait_crash(told, "failed");  // the second by itself: still no fresh start
  const Json failed = wait_state(daemon, "failed");
  CHECK(failed["last_failure"]["phase"] == "startup");
  CHECK(says(failed["last_failure"]["hint"], "--fresh"));
  for (const Json& name : names) CHECK(says(failed["last_failure"]["summary"], name.get<std::string>()));
  CHECK(daemon.ask("restart")["verdict"] != "ok");
  CHECK(failed["snapshot"]["rejected"].size() == 2);
}

TEST_CASE("crash rules: --on-failure=exit ends with 1 and leaves nothing behind") {
  FakeDaemon daemon(Json::object(), {"--on-failure", "exit", "--max-failures", "1"});
  const std::string pid_file = daemon.dir().path("run/zeroth/behaviour/pid");
  REQUIRE(::access(pid_file.c_str(), F_OK) == 0);
  daemon.kill_worker();
  CHECK(daemon.wait_exit() == kExitFailed);
  CHECK(::access(pid_file.c_str(), F_OK) != 0);
  CHECK(::access(daemon.socket().c_str(), F_OK) != 0);
  CHECK(daemon.workers_running().empty());
  CHECK(says(daemon.err(), "giving up: 1 failure;"));
}

TEST_CASE("crash rules: as the process of a systemd unit, giving up is the end") {
  const TempDir dir;
  const ProcessResult result = run_process(
      {"sh", "-c",
       "SYSTEMD_EXEC_PID=$$ exec " + built("zeroth-supervise") + " --no-watch --max-failures 1 -- sh -c 'exit 3'"},
      {{"ZEROTH_STATE_DIR", dir.path("state")}, {"ZEROTH_RUNTIME_DIR", dir.path("run")}});
  CHECK(result.exit_code == kExitFailed);
  CHECK(says(result.err, "exited with code 3; giving up"));
}

}  // namespace zeroth::scenario
