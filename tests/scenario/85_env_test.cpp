// Env files: an edit reaches a worker that listens for it as it runs, and any other by a reload.

#include <doctest/doctest.h>
#include <signal.h>

#include "common/exit_codes.h"
#include "tests/scenario/fake.h"
#include "tests/scenario/scenario.h"

namespace zeroth::scenario {
namespace {

Json listening() {
  return {{"capabilities", {"checkpoint", "restore", "hold", "call", "env"}}};
}

Json listening_at(const std::string& point, const Json& action) {
  Json behaviour = listening();
  behaviour["at"] = {{point, action}};
  return behaviour;
}

// The env file lies in a folder of its own, written before the supervisor starts.
struct EnvFolder {
  explicit EnvFolder(std::string_view first) { write(first); }
  std::string path() const { return folder.path("app.env"); }
  void write(std::string_view text) const { folder.write("app.env", text); }
  TempDir folder;
};

class EnvDaemon : public EnvFolder, public FakeDaemon {
 public:
  EnvDaemon(std::string_view first, const Json& behaviour, std::vector<std::string> more = {})
      : EnvFolder(first), FakeDaemon(behaviour, options(path(), std::move(more))) {}

  using EnvFolder::write;
  Json variable(const std::string& name) { return ask("variable", {{"name", name}})["value"]; }
  // Until the worker has it with this value; null: it is gone.
  void wait_variable(const std::string& name, const Json& value) {
    const MonotonicTime until = monotonic_now() + kPatience;
    for (Json now = variable(name); now != value; now = variable(name)) {
      REQUIRE_MESSAGE(monotonic_now() < until, name, " is ", now.dump(), " and not ", value.dump());
      ::poll(nullptr, 0, 5);
    }
  }
  // Until the supervisor has read that it stands there.
  void wait_origin(const std::string& name, const std::string& end) {
    const MonotonicTime until = monotonic_now() + kPatience;
    for (std::string origin; !origin.ends_with(end); ::poll(nullptr, 0, 5)) {
      REQUIRE_MESSAGE(monotonic_now() < until, name, " is of ", origin);
      const Json all = ask("env");
      for (const Json& one : all["variables"]) {
        if (one["name"] == name) origin = one["origin"];
      }
    }
  }
  ProcessResult ctl(std::vector<std::string> words) const {
    words.insert(words.begin(), built("zerothctl"));
    return run_process(words, environment());
  }

 private:
  static std::vector<std::string> options(const std::string& path, std::vector<std::string> more) {
    more.insert(more.begin(), {"--env-file", path});
    return more;
  }
};

bool is_reload_for_env(const Json& receipt) {
  return is_receipt(receipt) && receipt["cause"] == "env";
}

}  // namespace

TEST_CASE("env: an edit is told to a worker that listens, which runs on; one that is removed disappears") {
  EnvDaemon daemon("MODE=first\nGONE=soon\nKEEP=1\n", listening());
  const pid_t before = daemon.worker_pid();
  CHECK(daemon.variable("MODE") == "first");
  EventStream told = daemon.events({"env"});
  daemon.write("MODE=hunter2\nKEEP=1\nNEW='a b'\n");
  const Json event = told.wait_for("env");
  CHECK(event["verdict"] == "ok");
  CHECK(event["how"] == "env");
  CHECK(event["set"] == Json::array({"MODE", "NEW"}));
  CHECK(event["unset"] == Json::array({"GONE"}));
  CHECK(daemon.variable("MODE") == "hunter2");
  CHECK(daemon.variable("NEW") == "a b");
  CHECK(daemon.variable("GONE").is_null());
  CHECK(daemon.worker_pid() == before);
  const Json receipt = daemon.worker()["last_reload"];
  CHECK(receipt["operation"] == "reload");
  CHECK(receipt["cause"] == "env");
  CHECK(receipt["verdict"] == "ok");
  CHECK(receipt["env"] == Json{{"set", {"MODE", "NEW"}}, {"unset", {"GONE"}}});
  CHECK(receipt["to"] == 1);
  CHECK(receipt["warnings"] == Json::array());
  const Json all = daemon.ask("generations");
  CHECK(all["total"] == 2);  // that of the start is not overwritten
  for (const std::string& text : {all.dump(), daemon.status().dump(), daemon.log(), daemon.err()})
    CHECK_FALSE(contains(text, "hunter2"));
  CHECK(contains(daemon.err(), "app.env changed  set MODE, NEW  unset GONE"));
}

TEST_CASE("env: a worker that does not listen is reloaded with its state") {
  EnvDaemon daemon("MODE=first\nGONE=soon\n", Json::object());
  daemon.increment(7);
  EventStream told = daemon.events({"reload", "env"});
  daemon.write("MODE=second\n");
  const Json receipt = told.wait_for("reload", is_reload_for_env);
  CHECK(receipt["verdict"] == "ok");
  CHECK(receipt["mode"] == "overlap");
  CHECK(receipt["code"] == false);
  CHECK(receipt["env"] == Json{{"set", {"MODE"}}, {"unset", {"GONE"}}});
  CHECK(receipt["changed"] == Json::array({daemon.path()}));
  CHECK(told.wait_for("env")["how"] == "reload");
  CHECK(daemon.generation() == 2);
  CHECK(daemon.count() == 7);
  CHECK(daemon.variable("MODE") == "second");
  CHECK(daemon.variable("GONE").is_null());
}

TEST_CASE("env: a callback that fails is told and isolated; the worker goes on, and its next start has the newest") {
  EnvDaemon daemon("MODE=first\n", listening_at("at_env", "error"));
  daemon.increment(3);
  const pid_t before = daemon.worker_pid();
  EventStream told = daemon.events({"env"});
  daemon.write("MODE=hunter2\n");
  const Json event = told.wait_for("env");
  CHECK(event["verdict"] == "failed");
  CHECK(event["reason"] == "the callback cannot use ***");
  CHECK(daemon.worker_pid() == before);
  CHECK(daemon.variable("MODE") == "first");
  Json worker = daemon.worker();
  CHECK(worker["state"] == "ready");
  CHECK(worker["last_reload"]["verdict"] == "failed");
  CHECK(worker["env"]["pending"]["set"] == Json::array({"MODE"}));
  CHECK(contains(daemon.err(), "not taken: the callback cannot use ***; it goes on"));
  CHECK_FALSE(contains(daemon.log() + daemon.err(), "hunter2"));
  CHECK(daemon.ask("env", {{"reload", true}})["verdict"] == "failed");  // told once more
  daemon.kill_worker();
  daemon.wait_generation(2);
  CHECK(daemon.variable("MODE") == "hunter2");
  daemon.edit(listening());
  daemon.wait_generation(3);
  daemon.write("MODE=third\n");
  daemon.wait_variable("MODE", "third");
  CHECK(daemon.generation() == 3);
  CHECK(daemon.worker()["env"]["pending"]["set"] == Json::array());
}

TEST_CASE("env: a callback that fails for one variable is named; the others are taken, and it is told again") {
  Json behaviour = listening();
  behaviour["faults"] = Json::array({"env_callback_fails"});
  EnvDaemon daemon("A=1\nB=1\n", behaviour);
  const pid_t before = daemon.worker_pid();
  EventStream told = daemon.events({"env"});
  daemon.write("A=hunter2\nB=2\n");
  const Json event = told.wait_for("env");
  CHECK(event["verdict"] == "failed");
  CHECK(event["reason"] == "A: cannot use ***");
  CHECK(event["warnings"] == Json::array());
  CHECK(daemon.variable("B") == "2");
  CHECK(daemon.worker()["env"]["pending"]["set"] == Json::array({"A"}));
  const ProcessResult again = daemon.ctl({"env", "--reload"});
  CHECK(again.exit_code == kExitFailed);
  CHECK(contains(again.out, "A: cannot use ***"));
  CHECK(daemon.worker_pid() == before);
}

TEST_CASE("env: what a failed callback may have set and is no longer in the file is unset with the next change") {
  EnvDaemon daemon("A=1\n", listening_at("at_env", "silent"));
  EventStream told = daemon.events({"env"});
  daemon.write("A=1\nB=2\n");
  const Json late = told.wait_for("env");
  CHECK(late["verdict"] == "failed");
  CHECK(late["reason"] == "no answer within 2 s");
  CHECK(daemon.variable("B") == "2");  // it had taken it
  daemon.write("A=1\n");
  CHECK(told.wait_for("env")["unset"] == Json::array({"B"}));
  daemon.wait_variable("B", nullptr);
}

TEST_CASE("env: a bad file keeps the old environment and says where, once, and when it is right again") {
  EnvDaemon daemon("MODE=first\n", listening());
  EventStream told = daemon.events({"env"});
  daemon.write("MODE=second\nKEY=\"hunter2\n");
  const Json event = told.wait_for("env");
  CHECK(event["verdict"] == "rejected");
  CHECK(event["diagnostics"][0]["line"] == 2);
  CHECK(event["diagnostics"][0]["column"] == 5);
  CHECK(daemon.variable("MODE") == "first");
  CHECK(contains(daemon.err(),
                 daemon.path() + ":2:5: error: this quote is never closed\n" + "    KEY=\"*******\n" + "        ^\n"));
  const Json status = daemon.status();
  CHECK(contains(status["message"].get<std::string>(), "app.env:2:5: this quote is never closed"));
  CHECK(status["workers"][0]["env"]["wrong"]["diagnostics"][0]["line"] == 2);
  CHECK(contains(daemon.ctl({"status"}).out, "app.env:2:5"));
  const ProcessResult asked = daemon.ctl({"env", "--reload"});
  CHECK(asked.exit_code == kExitFailed);
  CHECK(contains(asked.out, "app.env:2:5: error: this quote is never closed"));
  ::kill(daemon.worker_pid(), SIGKILL);
  daemon.wait_generation(2);
  CHECK(daemon.variable("MODE") == "first");  // the newest that was right
  REQUIRE(::unlink(daemon.path().c_str()) == 0);
  CHECK(contains(told.wait_for("env")["reason"].get<std::string>(), "No such file"));
  CHECK(daemon.variable("MODE") == "first");
  daemon.write("MODE=third\n");
  CHECK(told.wait_for("env")["repaired"] == true);
  daemon.wait_variable("MODE", "third");
  CHECK(daemon.worker()["env"]["wrong"].is_null());
  CHECK_FALSE(contains(daemon.log() + daemon.err(), "hunter2"));
}

TEST_CASE("env: a hundred edits in a row end at the last, whether the worker listens or not") {
  for (const Json& behaviour : {listening(), Json(Json::object())}) {
    EnvDaemon daemon("N=0\n", behaviour);
    daemon.increment(5);
    EventStream told = daemon.events({"env"});
    for (int n = 1; n <= 100; ++n) daemon.write("N=" + std::to_string(n) + "\nLAST" + std::to_string(n) + "=1\n");
    daemon.wait_variable("N", "100");
    daemon.wait_variable("LAST99", nullptr);
    daemon.wait_variable("LAST100", "1");
    CHECK(daemon.count() == 5);
    // Nothing follows: asked once what is under way has ended, it has what the file says.
    daemon.ask("env", {{"reload", true}});
    CHECK(daemon.ask("env", {{"reload", true}})["verdict"] == "unchanged");
    // A file that is truncated and then written was never taken for an empty one.
    while (const auto event = told.next("env", nullptr, Milliseconds(0))) {
      for (const Json& name : (*event)["unset"]) CHECK(name != "N");
    }
  }
}

TEST_CASE("env: edits during a reload lead to exactly one more") {
  EnvDaemon daemon("N=0\n", behaviour_at("before_hello", {"touch spawned", "wait go"}, {2}));
  daemon.increment(2);
  EventStream told = daemon.events({"reload"});
  daemon.write("N=1\n");
  wait_for_mark(daemon.beside("spawned"));
  for (const char* text : {"N=2\n", "N=3\n", "\n\nN=4\n"}) daemon.write(text);
  daemon.wait_origin("N", ":3");
  daemon.touch("go");
  CHECK(told.wait_for("reload", is_reload_for_env)["to"] == 2);
  CHECK(told.wait_for("reload", is_reload_for_env)["to"] == 3);
  daemon.wait_variable("N", "4");
  CHECK(daemon.ask("env", {{"reload", true}})["verdict"] == "unchanged");
  CHECK(daemon.generation() == 3);
  CHECK(daemon.count() == 2);
}

TEST_CASE("env: an environment with which the new generation does not start is rejected, and no restart falls for it") {
  EnvDaemon daemon("MODE=good\n", Json::object(),
                   {Daemon::kCommand, "sh", "-c", R"(test "$MODE" != bad || exit 3; exec "$1" "$2")"});
  daemon.increment(4);
  EventStream told = daemon.events({"env"});
  daemon.write("MODE=bad\n");
  const Json event = told.wait_for("env");
  CHECK(event["verdict"] == "rejected");
  CHECK(event["how"] == "reload");
  CHECK(daemon.variable("MODE") == "good");
  CHECK(daemon.worker()["rejected"].is_null());  // the code is what runs
  daemon.kill_worker();
  daemon.wait_until([](const Json& worker) { return worker["state"] == "ready" && worker["generation"] > 2; });
  CHECK(daemon.variable("MODE") == "good");
  daemon.write("MODE=better\n");
  daemon.wait_variable("MODE", "better");
}

}  // namespace zeroth::scenario
