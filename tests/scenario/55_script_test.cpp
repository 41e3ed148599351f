// `zerothctl worker run`: a shell script whose state is a file keeps it over edits, crashes, rollbacks and the death of
// its supervisor.

#include <csignal>
#include <filesystem>

#include "common/exit_codes.h"
#include "tests/scenario/counter.h"
#include "tests/scenario/fake.h"
#include "tests/scenario/scenario.h"

namespace zeroth::scenario {
namespace {

namespace fs = std::filesystem;

class Script : public Daemon {
 public:
  explicit Script(const std::string& code, std::vector<std::string> options = {"--checkpoint-interval", "0"},
                  const std::string& run_options = "", std::string file = "count.json")
      : Daemon(code, with_command(std::move(options), run_options, file), "counter.sh"), file_(std::move(file)) {}

  std::string state_file() const { return dir().path(file_); }
  std::string kept() const { return dir().read(file_); }
  void tell(const std::string& name, const std::string& content = "") const { scenario::tell(dir(), name, content); }
  void tick() const { scenario::tick(dir()); }
  void wait_gone(const std::string& name) const { scenario::wait_gone(dir(), name); }
  void wait_done() const { scenario::wait_done(dir()); }

  static std::vector<std::string> with_command(std::vector<std::string> options, const std::string& run_options = "",
                                               const std::string& file = "count.json") {
    const std::string script = "exec " + built("zerothctl") + " worker run --state \"${0%/code/*}/" + file + "\" " +
                               run_options + " -- sh \"$0\"";
    options.insert(options.end(), {Daemon::kCommand, "sh", "-c", script});
    return options;
  }

 private:
  std::string file_;
};

Json newest_state(Daemon& daemon) {
  return daemon.ask("snapshot", {{"sequence", daemon.ask("checkpoint")["sequence"]}});
}

}  // namespace

TEST_CASE("script: an edit keeps its state, in each mode that it can") {
  for (const char* mode : {"overlap", "recreate"}) {
    CAPTURE(mode);
    Script script(counter(1), {"--checkpoint-interval", "0", "--reload", mode});
    script.tick();
    script.tick();
    CHECK(script.worker()["mode"] == mode);
    script.write_renamed(counter(10));
    CHECK(script.wait_generation(2)["last_reload"]["verdict"] == "ok");
    CHECK(script.kept() == "2\n");
    script.tick();
    CHECK(script.kept() == "12\n");
    const Json snapshot = newest_state(script);
    CHECK(snapshot["state"] == 12);
    CHECK(snapshot["schema"] == "file/1");
    CHECK_FALSE(fs::exists(script.state_file() + ".before"));
  }
}

TEST_CASE("script: its own end is the worker's, and what it had saved is kept") {
  Script script(counter(1));
  script.tick();
  Json exit;
  SUBCASE("by exit") {
    script.tell("do", "exit 3");
    exit = script.wait_generation(2)["last_exit"];
    CHECK(exit["code"] == 3);
  }
  SUBCASE("by a signal") {
    script.tell("do", "kill -ABRT $$");
    exit = script.wait_generation(2)["last_exit"];
    CHECK(exit["signal"] == SIGABRT);
  }
  CHECK(script.kept() == "1\n");
  script.tick();
  CHECK(script.kept() == "2\n");
}

TEST_CASE("script: with 0 it has finished") {
  Script script(counter(1));
  script.tick();
  script.tell("do", "exit 0");
  script.wait_until([](const Json& worker) { return worker["state"] == "finished"; });
}

TEST_CASE("script: after a kill it goes on from the newest snapshot, and what was newer lies beside it") {
  Script script(counter(1));
  script.tick();
  script.ask("checkpoint");
  script.tick();
  script.kill_worker();
  script.wait_generation(2);
  script.tick();
  CHECK(script.kept() == "2\n");
  CHECK(script.dir().read("count.json.before") == "2\n");
}

TEST_CASE("script: it survives the death of its supervisor by way of the emergency file") {
  Script script(counter(1));
  script.tick();
  script.tick();
  script.kill_supervisor();
  CHECK(script.wait_no_workers());
  fs::remove(script.state_file());
  script.restart();
  script.tick();
  CHECK_MESSAGE(script.kept() == "3\n", script.err());
}

TEST_CASE("script: a stop and a start, and no file in between") {
  Script script(counter(1));
  script.tick();
  CHECK(script.terminate() == 0);
  fs::remove(script.state_file());
  script.restart();
  script.tick();
  CHECK(script.kept() == "2\n");
}

TEST_CASE("script: a rollback returns its file, and the one that it replaces is kept beside it") {
  Script script(counter(1));
  script.tick();
  const Json sequence = script.ask("checkpoint")["sequence"];
  script.tick();
  const Json receipt = script.ask("rollback", {{"sequence", sequence}, {"state_only", true}});
  CHECK(receipt["verdict"] == "ok");
  CHECK(script.kept() == "1\n");
  CHECK(script.dir().read("count.json.before") == "2\n");
  CHECK(script.ask("rollback", {{"sequence", receipt["pinned"]}, {"state_only", true}})["verdict"] == "ok");
  CHECK(script.kept() == "2\n");
}

TEST_CASE("script: a start from before there was a file is one without a file") {
  Script script(counter(1));
  const Json nothing = newest_state(script);
  CHECK(nothing["state"].is_null());
  script.tick();
  CHECK(script.ask("rollback", {{"sequence", nothing["sequence"]}, {"state_only", true}})["verdict"] == "ok");
  CHECK_FALSE(fs::exists(script.state_file()));
  script.tick();
  CHECK(script.kept() == "1\n");
}

TEST_CASE("script: a fresh start is one without the file, which stays beside it") {
  Script script(counter(1));
  script.tick();
  script.tick();
  SUBCASE("a restart") {
    CHECK(script.ask("restart", {{"fresh", true}})["verdict"] == "ok");
  }
  SUBCASE("a start") {
    REQUIRE(script.terminate() == kExitOk);
    script.restart(Script::with_command({"--checkpoint-interval", "0", "--fresh"}));
  }
  CHECK_FALSE(fs::exists(script.state_file()));
  CHECK(script.dir().read("count.json.before") == "2\n");
  script.tick();
  CHECK(script.kept() == "1\n");
  const pid_t pid = script.kill_worker();  // what it has written since is its own
  script.wait_until([&](const Json& worker) { return worker["state"] == "ready" && worker["pid"] != pid; });
  script.tick();
  CHECK(script.kept() == "2\n");
}

TEST_CASE("script: what is no JSON is kept byte by byte") {
  const std::string bytes("5\n\xff\0\x01 rest", 10);
  Script script(counter(1), {"--checkpoint-interval", "0"}, "", "count.bin");
  script.dir().write("count.bin", bytes);
  const Json snapshot = newest_state(script);
  CHECK(snapshot["state"] == Json{{"$bytes", "NQr/AAEgcmVzdA=="}});
  script.write_renamed(counter(10));
  script.wait_generation(2);
  CHECK(script.kept() == bytes);
}

TEST_CASE("script: half a JSON file is no state, and the script goes on") {
  Script script(counter(1));
  script.tick();
  script.tell("do", "echo '{\"half\":' > \"$ZEROTH_STATE_FILE\"");
  script.wait_done();
  const Refusal refused = script.refused("checkpoint");
  CHECK(says(refused.message, "count.json: it is not whole JSON"));
  script.tick();
  CHECK(newest_state(script)["state"] == 2);
}

TEST_CASE("script: --state-signal asks it to save") {
  Script script(counter(1, kRarely), {"--checkpoint-interval", "0"}, "--state-signal USR1");
  script.tick();
  script.tick();
  CHECK_FALSE(fs::exists(script.state_file()));
  CHECK(newest_state(script)["state"] == 2);
  script.tick();
  script.write_renamed(counter(10, kRarely));
  CHECK(script.wait_generation(2)["last_reload"]["verdict"] == "ok");
  CHECK(script.kept() == "3\n");
}

TEST_CASE("script: one that has no handler is not killed by the question") {
  Script script(counter(1), {"--checkpoint-interval", "0"}, "--state-signal USR2");
  const pid_t pid = script.worker_pid();
  script.tick();
  const Refusal refused = script.refused("checkpoint", Json::object(), kPatience);
  CHECK(says(refused.message, "the program has no handler for USR2: it is not sent"));
  script.tick();
  CHECK(script.worker_pid() == pid);
  CHECK(script.worker()["snapshot"]["degraded"].is_string());
}

TEST_CASE("script: signals are passed on to it") {
  Script script(counter(1, "trap 'rm \"$dir/waits\"' USR2\n"));
  script.tick();
  script.tell("waits");
  REQUIRE(::kill(script.worker_pid(), SIGUSR2) == 0);
  script.wait_gone("waits");
  script.tick();
}

TEST_CASE("script: without a supervisor it runs alone, with its file and its exit code") {
  const TempDir dir;
  const ProcessResult alone = run_process({built("zerothctl"), "worker", "run", "--state", dir.path("count.json"), "--",
                                           "sh", "-c", "echo $ZEROTH_STATE_FILE; exit 7"},
                                          {{"ZEROTH_FD", ""}, {"ZEROTH_SOCKET", ""}});
  CHECK(alone.exit_code == 7);
  CHECK(alone.out == dir.path("count.json") + "\n");
}

TEST_CASE("script: what makes no sense is said before anything runs") {
  const auto run = [](std::vector<std::string> words) {
    words.insert(words.begin(), {built("zerothctl"), "worker"});
    return run_process(words, {{"ZEROTH_FD", ""}, {"ZEROTH_SOCKET", ""}});
  };
  CHECK(run({}).exit_code == kExitUsage);
  CHECK(run({"walk"}).exit_code == kExitUsage);
  CHECK(says(run({"run", "--", "true"}).err, "--state FILE says where"));
  CHECK(says(run({"run", "--state", "a"}).err, "no command after --"));
  CHECK(says(run({"run", "--state"}).err, "--state needs a value"));
  CHECK(says(run({"run", "--states", "a"}).err, "unknown option '--states'"));
  CHECK(says(run({"run", "--state", "a", "--state-signal", "KILL", "--", "true"}).err, "is no signal to ask by"));
  CHECK(run({"run", "--state", "a", "--", "/nowhere/at/all"}).exit_code == 127);
}

TEST_CASE("script: the example keeps every rule of the protocol") {
  const TempDir dir;
  const ProcessResult told =
      run_process({built("zeroth-worker"), "conformance", "--", built("zerothctl"), "worker", "run", "--state",
                   dir.path("count.json"), "--", "sh", ZEROTH_SOURCE_DIR "/worker/examples/counter.sh"});
  CHECK_MESSAGE(told.exit_code == 0, told.out, told.err);
}

}  // namespace zeroth::scenario
