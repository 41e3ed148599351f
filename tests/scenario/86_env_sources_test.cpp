// Where a worker's variables come from, which of two counts, and when env files are read.

#include <doctest/doctest.h>
#include <signal.h>

#include "common/exit_codes.h"
#include "tests/scenario/fake.h"
#include "tests/scenario/scenario.h"

namespace zeroth::scenario {
namespace {

Json variable_of(Daemon& daemon, const std::string& name, const std::string& worker = "") {
  Json params = {{"name", name}};
  if (!worker.empty()) params["worker"] = worker;
  return daemon.ask("variable", params)["value"];
}

// "name" -> its entry, of what `env` lists.
Json listed(const Json& described, const std::string& name) {
  for (const Json& one : described["variables"]) {
    if (one["name"] == name) return one;
  }
  return nullptr;
}

Json listener() {
  return {{"capabilities", {"checkpoint", "restore", "hold", "call", "env"}}};
}

ProcessResult start(const TempDir& dir, std::vector<std::string> options) {
  options.insert(options.begin(), built("zeroth-supervise"));
  options.insert(options.end(), {"--", "true"});
  return run_process(options, {{"ZEROTH_STATE_DIR", dir.path("state")}, {"ZEROTH_RUNTIME_DIR", dir.path("run")}});
}

}  // namespace

TEST_CASE("env: an env file that is missing or wrong at the start is refused, with its place") {
  const TempDir dir;
  const ProcessResult missing = start(dir, {"--env-file", dir.path("none.env")});
  CHECK(missing.exit_code == kExitConfiguration);
  CHECK(says(missing.err, "none.env: error: No such file or directory"));
  dir.write("bad.env", "A=1\nPASS WORD=hunter2\n");
  const ProcessResult bad = start(dir, {"--env-file", dir.path("bad.env")});
  CHECK(bad.exit_code == kExitConfiguration);
  CHECK(says(bad.err, "bad.env:2:6: error: '=' is missing behind the name\n    PASS WORD=*******\n         ^\n"));
  CHECK(start(dir, {"--env-file", dir.path()}).exit_code == kExitConfiguration);
  dir.write("fleet.toml", "[worker.a]\ncommand = [\"true\"]\nenv_file = [\"bad.env\"]\n");
  const ProcessResult fleet =
      run_process({built("zeroth-supervise"), dir.path("fleet.toml")},
                  {{"ZEROTH_STATE_DIR", dir.path("state")}, {"ZEROTH_RUNTIME_DIR", dir.path("run")}});
  CHECK(fleet.exit_code == kExitConfiguration);
  CHECK(says(fleet.err, "worker 'a': "));
  CHECK(says(fleet.err, "bad.env:2:6: error: "));
}

TEST_CASE("env: an option counts for more than a file, a later file for more, a file for more than what is inherited") {
  const TempDir dir;
  const std::string one = dir.write("one.env", "A=one\nB=one\nC=one\nZEROTH_GENERATION=77\nZEROTH_STATE_DIR=/x\n");
  const std::string two = dir.write("two.env", "B=two\nC=two\nPATH=/of/file\n");
  FakeDaemon daemon(listener(), {"--env-file", one, "--env-file", two, "--env", "C=three"});
  CHECK(variable_of(daemon, "A") == "one");
  CHECK(variable_of(daemon, "B") == "two");
  CHECK(variable_of(daemon, "C") == "three");
  CHECK(variable_of(daemon, "PATH") == "/of/file");
  CHECK(variable_of(daemon, "ZEROTH_GENERATION") == "1");
  CHECK(variable_of(daemon, "ZEROTH_STATE_DIR").is_null());
  CHECK(daemon.logs("ZEROTH_STATE_DIR in an env file is passed over"));
  const Json all = daemon.ask("env");
  CHECK(listed(all, "A") == Json{{"name", "A"}, {"value", "***"}, {"origin", one + ":1"}});
  CHECK(listed(all, "B")["origin"] == two + ":1");
  CHECK(listed(all, "C")["origin"] == "flag");
  CHECK(listed(all, "XDG_STATE_HOME")["origin"] == "inherited");
  CHECK(all["total"] == all["variables"].size());
  const ProcessResult shown = run_process({built("zerothctl"), "env"}, daemon.environment());
  CHECK(shown.exit_code == kExitOk);
  CHECK(says(shown.out, two + ":1"));
  CHECK(says(shown.out, "more are inherited"));
  CHECK_FALSE(says(shown.out, "/of/file"));
  // What goes from a file returns to what counted for less.
  EventStream told = daemon.events({"env"});
  dir.write("two.env", "C=other\n");
  const Json event = told.wait_for("env");
  CHECK(event["set"] == Json::array({"B", "PATH"}));
  CHECK(variable_of(daemon, "B") == "one");
  CHECK(variable_of(daemon, "C") == "three");
  CHECK(variable_of(daemon, "PATH") != "/of/file");
}

TEST_CASE("env: with --no-watch the files are read when somebody asks: by command or SIGHUP") {
  const TempDir dir;
  const std::string file = dir.write("app.env", "N=1\n");
  FakeDaemon daemon(listener(), {"--no-watch", "--env-file", file});
  dir.write("app.env", "N=2\n");
  const ProcessResult asked = run_process({built("zerothctl"), "env", "--reload"}, daemon.environment());
  CHECK(asked.exit_code == kExitOk);
  CHECK(says(asked.out, "reload ok: env"));
  CHECK(variable_of(daemon, "N") == "2");
  CHECK(daemon.ask("env", {{"reload", true}})["verdict"] == "unchanged");
  EventStream told = daemon.events({"env"});
  dir.write("app.env", "N=3\n");
  REQUIRE(::kill(daemon.pid(), SIGHUP) == 0);
  CHECK(told.wait_for("env")["set"] == Json::array({"N"}));
  CHECK(variable_of(daemon, "N") == "3");
  const auto wrong = daemon.call("env", {{"reload", "yes"}});
  REQUIRE(!wrong);
  CHECK(wrong.error().code == ErrorCode::BadParams);
}

TEST_CASE("env: a program that does not speak is restarted with it, and comes back with the old one if it must") {
  const TempDir dir;
  const std::string file = dir.write("app.env", "MODE=one\n");
  Daemon daemon("",
                {"--env-file", file, Daemon::kMuteCommand, "sh", "-c",
                 "echo \"mode $MODE\"; test \"$MODE\" != bad || exit 3; exec sleep 1000"},
                "app.sh");
  const pid_t before = daemon.worker_pid();
  EventStream told = daemon.events({"reload", "env"});
  dir.write("app.env", "MODE=two\n");
  const Json receipt = told.wait_for("reload", is_receipt);
  CHECK(receipt["cause"] == "env");
  CHECK(receipt["env"]["set"] == Json::array({"MODE"}));
  CHECK(daemon.worker_pid() != before);
  CHECK(says(daemon.ask("logs").dump(), "mode two"));
  dir.write("app.env", "MODE=bad\n");
  CHECK(told.wait_for("env", [](const Json& env) { return env["how"] == "reload" && env["verdict"] != "ok"; })["set"] ==
        Json::array({"MODE"}));
  daemon.wait_until([](const Json& worker) { return worker["state"] == "ready" && worker["generation"] == 4; });
  CHECK(daemon.worker()["env"]["pending"]["set"] == Json::array({"MODE"}));
}

TEST_CASE("env: a process that becomes the next generation by exec keeps its environment; another one needs another") {
  const TempDir dir;
  const std::string file = dir.write("app.env", "N=1\n");
  FakeDaemon daemon(Json::object(), {"--reload", "exec", "--env-file", file});
  EventStream told = daemon.events({"reload"});
  dir.write("app.env", "N=2\n");
  const Json receipt = told.wait_for("reload", is_receipt);
  CHECK(receipt["mode"] == "overlap");
  CHECK(receipt["env"]["set"] == Json::array({"N"}));
  CHECK(variable_of(daemon, "N") == "2");
  const pid_t before = daemon.worker_pid();
  daemon.edit({{"beat_ms", 0}});
  const Json edited = told.wait_for("reload", is_receipt);
  CHECK(edited["mode"] == "exec");
  CHECK(edited["env"]["set"] == Json::array());
  CHECK(daemon.worker_pid() == before);
  CHECK(variable_of(daemon, "N") == "2");
  CHECK(daemon.ask("env", {{"reload", true}})["verdict"] == "unchanged");
}

TEST_CASE("env: a Python program keeps its state when its env file changes") {
  const TempDir dir;
  const std::string file = dir.write("app.env", "MOOD=calm\n");
  const std::string program =
      "import os, sys\nsys.path.insert(0, '" ZEROTH_SOURCE_DIR
      "/worker/sdk')\nimport zeroth\nw = zeroth.worker(schema='mood/1')\nS = w.restore({'seen': []})\n"
      "S['seen'].append(os.environ.get('MOOD'))\nfor _ in w.every(0.05): pass\n";
  const std::vector<std::string> options = {"--env-file", file, Daemon::kCommand, "python3"};
  Daemon daemon(program, options, "mood.py");
  EventStream told = daemon.events({"reload"});
  dir.write("app.env", "MOOD=merry\n");
  CHECK(told.wait_for("reload", is_receipt)["verdict"] == "ok");
  CHECK(living_state(daemon)["seen"] == Json::array({"calm", "merry"}));
}

TEST_CASE("env: in a fleet an env file is its worker's alone, and the table env counts for more") {
  const TempDir dir;
  const auto worker = [](const std::string& name, const std::string& more) {
    return "[worker." + name + "]\ncommand = [\"" + built("fake_worker") + "\", \"" + name +
           ".json\"]\nprotocol = true\n" + more + "\n";
  };
  const std::string file = dir.write("a.env", "MODE=file\nOTHER=file\n");
  Daemon daemon(worker("a", "env_file = \"" + file + "\"\nenv = { MODE = \"table\" }") + worker("b", ""), {},
                "fleet.toml");
  daemon.wait_until([&](const Json&) { return daemon.status()["healthy"] == true; });
  CHECK(variable_of(daemon, "MODE", "a") == "table");
  CHECK(variable_of(daemon, "OTHER", "a") == "file");
  CHECK(variable_of(daemon, "OTHER", "b").is_null());
  EventStream told = daemon.events({"reload"});
  dir.write("a.env", "MODE=ignored\nOTHER=new\n");
  const Json receipt = told.wait_for("reload", is_receipt);
  CHECK(receipt["worker"] == "a");
  CHECK(receipt["env"]["set"] == Json::array({"OTHER"}));
  CHECK(variable_of(daemon, "OTHER", "a") == "new");
  const Json all = daemon.ask("env");
  REQUIRE(all["workers"].size() == 2);
  CHECK(says(listed(all["workers"][0], "MODE")["origin"].get<std::string>(), "fleet.toml:"));
  CHECK(daemon.ask("env", {{"worker", "b"}})["worker"] == "b");
  CHECK(daemon.status()["workers"][1]["generation"] == 1);
}

}  // namespace zeroth::scenario
