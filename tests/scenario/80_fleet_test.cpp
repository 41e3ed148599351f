// Many workers under one supervisor, as fleet.toml names them.

#include <doctest/doctest.h>
#include <signal.h>

#include "common/exit_codes.h"
#include "tests/scenario/fake.h"
#include "tests/scenario/scenario.h"

namespace zeroth::scenario {
namespace {

// One that keeps a count; its behaviour is the file NAME.json beside the fleet file.
std::string counter(const std::string& name, const std::string& more = "") {
  return "[worker." + name + "]\ncommand = [\"" + built("fake_worker") + "\", \"" + name +
         ".json\"]\nprotocol = true\ncheckpoint_interval = 0\n" + more + "\n";
}

class FleetDaemon : public Daemon {
 public:
  explicit FleetDaemon(const std::string& file, std::vector<std::string> options = {})
      : Daemon(file, std::move(options), "fleet.toml") {}

  Json one(const std::string& name) {
    const Json all = status();
    for (const Json& worker : all["workers"]) {
      if (worker["name"] == name) return worker;
    }
    return nullptr;
  }
  // Until the predicate accepts the status of this worker, null if there is none.
  Json wait_for(const std::string& name, const std::function<bool(const Json&)>& accepts) {
    Json found;
    wait_until([&](const Json&) { return accepts(found = one(name)); });
    return found;
  }
  Json wait_state(const std::string& name, const std::string& state) {
    return wait_for(name, [&](const Json& worker) { return worker.is_object() && worker["state"] == state; });
  }
  std::int64_t count(const std::string& name) { return ask("get", {{"worker", name}})["count"]; }
  void increment(const std::string& name, std::int64_t by) { ask("inc", {{"worker", name}, {"by", by}}); }
  void behave(const std::string& name, const Json& behaviour) const {
    dir().write("code/" + name + ".json", dump(behaviour));
  }
  ProcessResult ctl(std::vector<std::string> words) const {
    words.insert(words.begin(), built("zerothctl"));
    return run_process(words, environment());
  }
};

std::string three() {
  return counter("a") + counter("b", "depends_on = [\"a\"]") + counter("c", "depends_on = [\"b\"]");
}

}  // namespace

TEST_CASE("fleet: each starts when what it depends on is ready; what it waits for is told") {
  FleetDaemon daemon(counter("free") + counter("front", "depends_on = [\"back\"]") +
                     "[worker.back]\nprotocol = true\ncommand = [\"sh\", \"-c\", '''echo '" +
                     dump(behaviour_at("before_hello", "wait go")) + "' > back.json; exec " + built("fake_worker") +
                     " back.json''']\n");
  const Json waiting = daemon.one("front");
  CHECK(waiting["state"] == "starting");
  CHECK(waiting["pid"].is_null());
  CHECK(waiting["waits_for"] == "worker 'back', which is starting");
  CHECK(says(daemon.err(), "3 workers"));
  CHECK(says(daemon.ctl({"status"}).out, "waits for worker 'back'"));
  EventStream reloads = daemon.events({"reload"});
  daemon.dir().write("code/go", "");
  CHECK(reloads.wait_for("reload")["worker"] == "back");
  CHECK(reloads.wait_for("reload")["worker"] == "front");
  daemon.wait_state("front", "ready");
  CHECK(daemon.status()["healthy"] == true);
  CHECK(daemon.terminate() == kExitOk);
  CHECK(daemon.workers_running().empty());
  CHECK(says(daemon.err(), "all 3 workers saved and stopped"));
}

TEST_CASE("fleet: one that is killed comes back with its state, and nobody else notices") {
  FleetDaemon daemon(three());
  daemon.wait_state("c", "ready");
  daemon.increment("b", 7);
  daemon.ask("checkpoint", {{"worker", "b"}});
  const Json a = daemon.one("a"), b = daemon.one("b"), c = daemon.one("c");
  REQUIRE(::kill(b["pid"].get<pid_t>(), SIGKILL) == 0);
  daemon.wait_for("b", [](const Json& worker) { return worker["generation"] == 2 && worker["state"] == "ready"; });
  CHECK(daemon.count("b") == 7);
  CHECK(daemon.one("a")["pid"] == a["pid"]);
  CHECK(daemon.one("c")["pid"] == c["pid"]);
}

TEST_CASE("fleet: stopped workers stay stopped over the supervisor's own restart, until somebody starts them") {
  FleetDaemon daemon(three());
  daemon.wait_state("c", "ready");
  daemon.increment("c", 3);
  CHECK(daemon.ask("stop", {{"worker", "c"}})["verdict"] == "ok");
  CHECK(daemon.one("c")["state"] == "stopped");
  CHECK(daemon.terminate() == kExitOk);
  daemon.restart();
  daemon.wait_state("b", "ready");
  CHECK(daemon.one("c")["state"] == "stopped");
  CHECK(daemon.ctl({"start", "c"}).exit_code == kExitOk);
  CHECK(daemon.count("c") == 3);
  const Json all = daemon.ask("stop_all");
  CHECK(all["verdict"] == "ok");
  CHECK(all["workers"].size() == 3);
  CHECK(daemon.workers_running().empty());
  CHECK(daemon.ctl({"start-all"}).exit_code == kExitOk);
  CHECK(daemon.count("c") == 3);
  CHECK(daemon.terminate() == kExitOk);
  daemon.restart(std::vector<std::string>{"--fresh"});
  daemon.wait_state("c", "ready");
  CHECK(daemon.count("c") == 0);
}

TEST_CASE("fleet: a rolling restart takes one after the other with its state, and ends at the first that fails") {
  FleetDaemon daemon(three());
  daemon.wait_state("c", "ready");
  daemon.increment("c", 5);
  EventStream reloads = daemon.events({"reload"});
  const ProcessResult rolled = daemon.ctl({"rolling-restart"});
  CHECK(rolled.exit_code == kExitOk);
  for (const char* name : {"a", "b", "c"}) {
    const Json receipt = reloads.wait_for("reload");
    CHECK(receipt["worker"] == name);
    CHECK(receipt["cause"] == "rolling");
  }
  CHECK(daemon.count("c") == 5);
  daemon.ask("stop", {{"worker", "b"}});
  daemon.behave("b", behaviour_at("before_hello", "exit 3"));
  daemon.ask("start", {{"worker", "b"}, {"wait", false}});
  daemon.wait_for("b", [](const Json& worker) { return worker["state"] != "ready" && worker["state"] != "stopped"; });
  const Json failed = daemon.ask("rolling-restart");
  CHECK(failed["verdict"] == "failed");
  CHECK(says(failed["reason"].get<std::string>(), "b: "));
  CHECK(failed["left"] == Json::array({"c"}));
  CHECK(daemon.one("c")["generation"] == 2);
  CHECK(daemon.one("a")["generation"] == 3);
}

TEST_CASE("fleet: an edit of the file touches only what it changes") {
  FleetDaemon daemon(counter("stays") + counter("changes") + counter("goes"));
  daemon.wait_state("goes", "ready");
  daemon.wait_state("changes", "ready");
  daemon.increment("changes", 4);
  const Json stays = daemon.one("stays"), goes = daemon.one("goes");
  daemon.write_renamed(counter("stays") + counter("changes", "env = { MOOD = \"new\" }") + counter("comes"));
  daemon.wait_state("comes", "ready");
  const Json changed = daemon.wait_for("changes", [](const Json& worker) { return worker["generation"] == 2; });
  CHECK(changed["last_reload"]["cause"] == "config");
  CHECK(daemon.count("changes") == 4);
  daemon.wait_for("goes", [](const Json& worker) { return worker.is_null(); });
  CHECK(wait_reaped(goes["pid"].get<pid_t>()));
  CHECK(daemon.one("stays")["pid"] == stays["pid"]);
  // Another program is another worker with the same state.
  daemon.write_renamed(counter("stays") + counter("changes", "restart = \"always\"") + counter("comes"));
  daemon.wait_for("changes", [](const Json& worker) {
    return worker.is_object() && worker["generation"] == 3 && worker["state"] == "ready";
  });
  CHECK(daemon.count("changes") == 4);
  CHECK(daemon.one("stays")["pid"] == stays["pid"]);
}

TEST_CASE("fleet: a file that is wrong changes nothing and is told with its place, and again when it is right") {
  FleetDaemon daemon(counter("a"));
  const Json before = daemon.one("a");
  EventStream notes = daemon.events({"log"});
  daemon.write_renamed(counter("a") + "[worker.b]\ncomand = [\"true\"]\n");
  const Json told = notes.wait_for("log", [](const Json& log) { return log.contains("diagnostics"); });
  CHECK(told["diagnostics"][0]["line"] == 7);
  CHECK(says(daemon.err(), "fleet.toml:7:1: error: unknown key 'comand'"));
  CHECK(says(daemon.err(), "help: did you mean 'command'?"));
  daemon.write_renamed(counter("a"));
  notes.wait_for("log", [](const Json& log) { return says(log["message"].get<std::string>(), "is right again"); });
  CHECK(daemon.one("a")["pid"] == before["pid"]);
}

TEST_CASE("fleet: who is meant must be named; a name that is none is told with the nearest") {
  FleetDaemon daemon(counter("shop") + counter("mail"));
  daemon.wait_state("mail", "ready");
  const ProcessResult wrong = daemon.ctl({"restart", "shopp"});
  CHECK(wrong.exit_code == kExitNoSuchWorker);
  CHECK(says(wrong.err, "did you mean 'shop'?"));
  CHECK(daemon.ctl({"restart"}).exit_code == kExitUsage);
  const auto several = daemon.call("get");
  REQUIRE(!several);
  CHECK(several.error().code == ErrorCode::BadParams);
  CHECK(says(several.error().message, "shop, mail"));
  CHECK(daemon.ctl({"restart", "mail"}).exit_code == kExitOk);
  CHECK(daemon.one("mail")["generation"] == 2);
  CHECK(daemon.one("shop")["generation"] == 1);
  CHECK(daemon.ask("reload", {{"all", true}})["verdict"] == "ok");
  const ProcessResult table = daemon.ctl({"status"});
  CHECK(table.exit_code == kExitOk);
  CHECK(says(table.out, "Worker"));
  CHECK(says(table.out, "mail"));
  CHECK(daemon.ctl({"status", "mail", "--json"}).out.find("\"shop\"") == std::string::npos);
}

TEST_CASE("fleet: mistakes in the file are told together, each with its place") {
  const TempDir dir;
  const std::string file =
      dir.write("fleet.toml",
                "[worker.a]\ncommand = [\"true\"]\nstart_timeout = \"soon\"\ndepends_on = [\"bb\"]\n"
                "[worker.b]\ncommand = \"true\"\ncron = \"* * 31 2 *\"\nlistn = 80\n");
  const auto start = [&] {
    return run_process({built("zeroth-supervise"), file},
                       {{"ZEROTH_STATE_DIR", dir.path("state")}, {"ZEROTH_RUNTIME_DIR", dir.path("run")}});
  };
  const ProcessResult wrong = start();
  CHECK(wrong.exit_code == kExitConfiguration);
  CHECK(says(wrong.err, file + ":3:17: error: start_timeout: "));
  CHECK(says(wrong.err, "    start_timeout = \"soon\"\n                    ^~~~~~\n"));
  CHECK(says(wrong.err, file + ":6:11: error: 'command' is a list of words"));
  CHECK(says(wrong.err, "help: did you mean 'listen'?"));
  dir.write("fleet.toml",
            "[worker.a]\ncommand = [\"true\"]\ndepends_on = [\"b\"]\n"
            "[worker.b]\ncommand = [\"true\"]\ndepends_on = [\"a\"]\n");
  CHECK(says(start().err, file + ":3:14: error: a cycle: a depends on b depends on a"));
  dir.write("fleet.toml", "[worker.a\n");
  CHECK(says(start().err, file + ":1:"));
  dir.write("fleet.toml", "");
  CHECK(says(start().err, "names no worker"));
  const ProcessResult flag = run_process({built("zeroth-supervise"), "--watch", "x", file});
  CHECK(flag.exit_code == kExitUsage);
  CHECK(says(flag.err, "--watch belongs to a worker"));
}

TEST_CASE(
    "fleet: one that does not start is failed, the others run, and its repair brings it up with who waits for it") {
  FleetDaemon daemon(counter("good") + "[worker.bad]\ncommand = [\"./not-there\"]\n" +
                     counter("after", "depends_on = [\"bad\"]"));
  const Json failed = daemon.wait_state("bad", "failed");
  CHECK(says(failed["last_failure"]["summary"].get<std::string>(), "not-there"));
  CHECK(daemon.one("after")["waits_for"] == "worker 'bad', which is failed");
  const ProcessResult start = daemon.ctl({"start", "after"});
  CHECK(start.exit_code == kExitFailed);
  CHECK(says(start.err, "it waits for worker 'bad', which has failed"));
  daemon.write_renamed(counter("good") +
                       "[worker.bad]\ncommand = [\"sh\", \"-c\", \"exit 3\"]\nbackoff_max = \"1h\"\n" +
                       counter("after", "depends_on = [\"bad\"]"));
  daemon.wait_state("bad", "backoff");
  CHECK(says(daemon.ctl({"restart", "after"}).err, "it waits for worker 'bad', which fails and is tried again"));
  daemon.write_renamed(counter("good") + counter("bad") + counter("after", "depends_on = [\"bad\"]"));
  daemon.wait_state("after", "ready");
  CHECK(daemon.one("good")["generation"] == 1);
}

}  // namespace zeroth::scenario
