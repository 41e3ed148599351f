// zerothctl itself, against a control socket that answers as each case says.

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>

#include "common/exit_codes.h"
#include "common/files.h"
#include "common/json_reader.h"
#include "tests/support/fake_control.h"
#include "tests/support/run_process.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

constexpr const char* kDeadPid = "4194303";  // one below the largest pid_max there is

struct Home {
  ProcessResult ctl(std::vector<std::string> words, std::vector<std::pair<std::string, std::string>> more = {}) {
    std::vector<std::pair<std::string, std::string>> environment = {{"HOME", dir.path()},
                                                                    {"XDG_RUNTIME_DIR", dir.path() + "/r"},
                                                                    {"XDG_STATE_HOME", dir.path() + "/s"},
                                                                    {"ZEROTH_RUNTIME_DIR", ""},
                                                                    {"TZ", "UTC"}};
    environment.insert(environment.end(), more.begin(), more.end());
    words.insert(words.begin(), program);
    return run_process(words, environment);
  }
  std::string runtime(const std::string& name) { return dir.path() + "/r/zeroth/" + name; }
  std::string make_runtime(const std::string& name) {
    REQUIRE(make_folders(runtime(name)).has_value());
    return runtime(name);
  }

  TempDir dir;
  std::string program = ZEROTH_BIN_DIR "/zerothctl";
};

FakeControl::Answer always(const Json& result) {
  return FakeControl::running("/p/greeting.zero",
                              [result](const Request& request) { return encode_result(request.id, result); });
}

FakeControl::Answer refusing(const Refusal& refusal) {
  return FakeControl::running("/p/greeting.zero",
                              [refusal](const Request& request) { return encode_refusal(request.id, refusal); });
}

}  // namespace

TEST_CASE("zerothctl: with nothing running, what needs a supervisor exits 3") {
  Home home;
  for (const char* verb : {"ping", "stop", "restart", "reload", "checkpoint", "snapshots", "generations", "logs",
                           "events", "config", "shutdown", "observe", "history", "state-list", "converge"}) {
    CAPTURE(verb);
    const ProcessResult result = home.ctl({verb});
    CHECK(result.exit_code == kExitNotRunning);
    CHECK(result.out == "");
    CHECK(says(result.err, "not running"));
  }
  const ProcessResult status = home.ctl({"status"});
  CHECK(status.exit_code == kExitNotRunning);
  CHECK(status.out == "stopped\n");
  const ProcessResult list = home.ctl({"list"});
  CHECK(list.exit_code == kExitNotRunning);
  CHECK(list.out == "");
  CHECK(home.ctl({"list", "--json"}).out == "[]\n");
  const ProcessResult version = home.ctl({"version"});
  CHECK(version.exit_code == kExitNotRunning);
  CHECK(version.out.starts_with("zerothctl "));
  CHECK(home.ctl({"start"}).exit_code == kExitNotRunning);
  CHECK(home.ctl({"version"}).out == "zerothctl " ZEROTH_VERSION "\n");
  CHECK(home.ctl({"help"}).exit_code == kExitOk);
  CHECK(home.ctl({"--version"}).exit_code == kExitOk);
  const ProcessResult start = home.ctl({"start", "x.zero"});
  CHECK(start.exit_code == kExitNotRunning);
  CHECK(says(start.err, "zeroth-supervise"));
}

TEST_CASE("zerothctl: status is JSON in every case, with the fields of the protocol") {
  Home home;
  for (const char* name : {"nothing", "greeting"}) {
    const FakeControl fake(home.runtime("greeting"), FakeControl::running("/p/greeting.zero"));
    const ProcessResult result = home.ctl({"-n", name, "--json", "status"});
    const auto json = parse_json(result.out);
    REQUIRE(json.has_value());
    for (const char* member : {"schema", "state", "pid", "healthy", "supervisor", "workers"}) {
      CAPTURE(member);
      CHECK(json->value.contains(member));
    }
  }
}

TEST_CASE("zerothctl: status as text, and its exit code by health") {
  Home home;
  FakeControl fake(home.runtime("greeting"), FakeControl::running("/p/\x1b[31mgreeting.zero"));
  const ProcessResult result = home.ctl({"status"});
  CHECK(result.exit_code == kExitOk);
  CHECK(says(result.out, "PID                   4242\n"));
  CHECK(says(result.out, "Program               /p/\\x1b[31mgreeting.zero\n"));
  CHECK(says(result.out, "Iteration             18,204\n"));
  CHECK(says(result.out, "Convergence           0.5\n"));
  CHECK(says(result.out, "States                3\n"));
  CHECK_FALSE(says(result.out, "Web port"));
  FakeControl ill(home.runtime("ill"), [](const Request& request) {
    return encode_result(request.id, {{"state", "running"}, {"healthy", false}, {"supervisor", {{"pid", 1}}}});
  });
  CHECK(home.ctl({"-n", "ill", "status"}).exit_code == kExitFailed);
}

TEST_CASE("zerothctl: one instance is used, several must be chosen from") {
  Home home;
  FakeControl one(home.runtime("one"), FakeControl::running("/p/one.zero"));
  CHECK(home.ctl({"ping"}).out == "ok\n");
  FakeControl two(home.dir.path() + "/s/zeroth/two/run", FakeControl::running("/p/two.zero"));
  const ProcessResult several = home.ctl({"ping"});
  CHECK(several.exit_code == kExitUsage);
  CHECK(says(several.err, "one  pid " + std::to_string(::getpid()) + "  /p/one.zero"));
  CHECK(says(several.err, "two  pid " + std::to_string(::getpid()) + "  /p/two.zero"));
  CHECK(home.ctl({"ping", "-n", "two"}).exit_code == kExitOk);
  CHECK(two.seen() == std::vector<std::string>{"ping {}"});
  CHECK(home.ctl({"ping"}, {{"ZEROTH_RUNTIME_DIR", home.runtime("one")}}).exit_code == kExitOk);
  CHECK(home.ctl({"-n", "three", "ping"}).exit_code == kExitNotRunning);
  CHECK(home.ctl({"-n", "../one", "ping"}).exit_code == kExitUsage);
  const ProcessResult list = home.ctl({"list"});
  CHECK(says(list.out, "/p/one.zero"));
  CHECK(says(list.out, "/p/two.zero"));
}

TEST_CASE("zerothctl: a runtime folder too long for a socket's name is found all the same") {
  Home home;
  const std::string runtime = home.runtime(std::string(60, 'l') + std::string(30, 'g'));
  REQUIRE(make_folders(runtime).has_value());
  const FakeControl fake(runtime, FakeControl::running("/p/x.zero"));
  CHECK(home.ctl({"ping"}, {{"ZEROTH_RUNTIME_DIR", runtime}}).exit_code == kExitOk);
}

TEST_CASE("zerothctl: files of a dead instance are stale, and listed") {
  Home home;
  const std::string runtime = home.make_runtime("greeting");
  REQUIRE(write_file_atomically(runtime + "/pid", std::string(kDeadPid) + "\n").has_value());
  REQUIRE(write_file_atomically(runtime + "/control.sock", "no socket").has_value());
  const ProcessResult result = home.ctl({"status"});
  CHECK(result.exit_code == kExitNotRunning);
  CHECK(result.out.starts_with("stale\n"));
  CHECK(says(result.out, runtime + "/pid"));
  CHECK(says(result.out, runtime + "/control.sock"));
  const auto json = parse_json(home.ctl({"--json", "status"}).out);
  REQUIRE(json.has_value());
  CHECK(json->value["state"] == "stale");
  CHECK(json->value["leftovers"].size() == 2);
  CHECK(home.ctl({"stop"}).exit_code == kExitNotRunning);
}

TEST_CASE("zerothctl: silence is unresponsive or foreign, by the recorded process; nonsense is incompatible") {
  Home home;
  const auto silence = [](const Request&) { return std::string(); };
  struct Case {
    std::string name;
    std::string pid;
    FakeControl::Answer answer;
  };
  const std::vector<Case> cases = {
      {"unresponsive", std::to_string(::getpid()), silence},
      {"foreign", kDeadPid, silence},
      {"foreign", kDeadPid, FakeControl::running("/p/other.zero")},
      {"incompatible", kDeadPid, [](const Request&) { return std::string("HTTP/1.1 400 Bad Request\n"); }},
      {"incompatible", kDeadPid,
       [](const Request& r) {
         return encode_result(r.id, {{"ok", true}});
       }},
  };
  const std::string runtime = home.make_runtime("odd");
  for (const Case& one : cases) {
    CAPTURE(one.name);
    const FakeControl fake(runtime, one.answer);
    REQUIRE(write_file_atomically(runtime + "/pid", one.pid).has_value());
    const ProcessResult status = home.ctl({"status", "--json"});
    CHECK(status.exit_code == kExitTaken);
    CHECK(says(status.out, "\"state\":\"" + one.name + "\""));
    const ProcessResult stop = home.ctl({"stop"});
    CHECK(stop.exit_code == kExitTaken);
    CHECK(says(stop.err, one.name));
  }
}

TEST_CASE("zerothctl: each refusal has its exit code") {
  struct Case {
    Refusal refusal;
    int exit_code;
  };
  const std::vector<Case> cases = {
      {{ErrorCode::NotFound, "no worker 'x'", "", {{"worker", "x"}}}, kExitNoSuchWorker},
      {{ErrorCode::NotFound, "no state", "did you mean 'HELLO'?", nullptr}, kExitFailed},
      {{ErrorCode::BadParams, "limit", "", nullptr}, kExitUsage},
      {{ErrorCode::Timeout, "5 s", "", nullptr}, kExitTimedOut},
      {{ErrorCode::Refused, "no", "", nullptr}, kExitFailed},
      {{ErrorCode::Unavailable, "backoff", "", nullptr}, kExitFailed},
  };
  Home home;
  for (const Case& one : cases) {
    CAPTURE(one.refusal.message);
    const FakeControl fake(home.runtime("greeting"), refusing(one.refusal));
    const ProcessResult result = home.ctl({"observe"});
    CHECK(result.exit_code == one.exit_code);
    CHECK(result.out == "");
    CHECK(says(result.err, one.refusal.message));
    CHECK(says(result.err, one.refusal.hint));
  }
}

TEST_CASE("zerothctl: no answer in time exits 75, a connection that ends says so") {
  Home home;
  const FakeControl fake(home.runtime("greeting"), FakeControl::running("/p", [](const Request&) { return ""; }));
  CHECK(home.ctl({"--timeout", "0.1", "ping"}).exit_code == kExitTimedOut);
  CHECK(home.ctl({"--timeout", "never", "ping"}).exit_code == kExitUsage);
}

TEST_CASE("zerothctl: observe and history look as they always did") {
  Home home;
  {
    const FakeControl fake(home.runtime("greeting"), always({{"iteration", 18204},
                                                             {"convergence", 0.9876543},
                                                             {"field_convergence", 1},
                                                             {"observation_pressure", 0.01},
                                                             {"dominant_state", "HELLO"},
                                                             {"projection", {{"DUSK", -0.1}, {"HELLO", 0.8}}}}));
    CHECK(home.ctl({"observe"}).out ==
          "Iteration             18204\nConvergence           0.987654\nField Convergence     1.000000\n"
          "Observation Pressure  0.010000\nDominant              HELLO\n"
          "  HELLO                 +0.800000\n  DUSK                  -0.100000\n");
    CHECK(parse_json(home.ctl({"observe", "--json"}).out)->value["convergence"] == 0.9876543);
  }
  const FakeControl fake(home.runtime("greeting"), always({{"total", 1},
                                                           {"records",
                                                            {{{"iteration", 5},
                                                              {"dominant_state", "HELLO"},
                                                              {"convergence", 0.5},
                                                              {"field_convergence", 0.25},
                                                              {"observation_pressure", 0.125}}}}}));
  CHECK(home.ctl({"history"}).out ==
        "Iteration  Dominant  Convergence  Field Conv  Obs Press\n"
        "5          HELLO     0.500000     0.250000    0.125000\n");
}

TEST_CASE("zerothctl: words and options become the parameters of the protocol") {
  Home home;
  FakeControl fake(home.runtime("greeting"), FakeControl::running("/p/greeting.zero"));
  home.ctl({"observe", "HELLO", "--passive", "--limit", "3"});
  home.ctl({"align", "A", "B", "--strength=0.5"});
  home.ctl({"potential", "--inject", "-0.5", "--state", "A"});
  home.ctl({"state", "observe"});
  home.ctl({"snapshot", "12", "--json"});
  home.ctl({"logs", "-n", "7"});
  home.ctl({"visits", "limit=3", "who=me", "deep=true"});
  CHECK(fake.seen() == std::vector<std::string>{R"(observe {"target":"HELLO","passive":true,"limit":3})",
                                                R"(align {"a":"A","b":"B","strength":0.5})",
                                                R"(potential {"inject":-0.5,"state":"A"})",
                                                R"(state {"name":"observe"})", R"(snapshot {"sequence":12})",
                                                R"(logs {"lines":7})", R"(visits {"limit":3,"who":"me","deep":true})"});
}

TEST_CASE("zerothctl: a typo gets the nearest suggestion and exit code 2") {
  Home home;
  struct Case {
    std::vector<std::string> words;
    const char* said;
  };
  const std::vector<Case> cases = {
      {{"statsu"}, "did you mean 'status'?"},
      {{"observe", "--pasive"}, "did you mean '--passive'?"},
      {{"--jsn", "status"}, "did you mean '--json'?"},
      {{"help", "relaod"}, "did you mean 'reload'?"},
      {{"snapshot", "twelve"}, "'twelve' is no whole number"},
      {{"snapshot"}, "required"},
      {{"ping", "extra"}, "unexpected word 'extra'"},
      {{}, "which verb?"},
      {{"completion", "tcsh"}, "none of bash, zsh, fish"},
  };
  for (const Case& one : cases) {
    CAPTURE(one.said);
    const ProcessResult result = home.ctl(one.words);
    CHECK(result.exit_code == kExitUsage);
    CHECK_MESSAGE(says(result.err, one.said), result.err);
  }
  const FakeControl fake(home.runtime("greeting"), refusing({ErrorCode::UnknownCommand, "unknown command 'vists'",
                                                             "did you mean 'visits'?", nullptr}));
  const ProcessResult result = home.ctl({"vists"});
  CHECK(result.exit_code == kExitUsage);
  CHECK(says(result.err, "did you mean 'visits'?"));
}

TEST_CASE("zerothctl: a receipt shows its phases, and its verdict decides the exit code") {
  Home home;
  const auto receipt = [](const char* verdict) {
    return always({{"operation", "reload"},
                   {"to", 18},
                   {"verdict", verdict},
                   {"cause", "edit"},
                   {"kept", {{"count", 3}, {"names", {"A", "B", "C"}}}},
                   {"added", {{"count", 1}, {"names", {"NOON"}}}},
                   {"iteration", 25404},
                   {"ms", {{"start", 2.04}, {"pause", 0.9}}}});
  };
  {
    const FakeControl fake(home.runtime("greeting"), receipt("ok"));
    const ProcessResult result = home.ctl({"restart"});
    CHECK(result.exit_code == kExitOk);
    CHECK(says(result.out, "generation 18  reload ok: edit   kept 3  added 1 (NOON)   iteration 25,404\n"));
    CHECK(says(result.out, "pause                 0.9 ms\n"));
    CHECK(home.ctl({"stop"}).out == "Stopped\n");
  }
  {
    const auto at = *parse_json(R"({"file":"a.zero","line":2,"column":7,"length":5,"message":"unknown state 'WROLD'",
                                    "source":"align WROLD A","source_column":7})");
    Json rejected = {{"verdict", "rejected"}, {"diagnostics", Json::array({at.value})}, {"hint", "mend it"}};
    const FakeControl fake(home.runtime("greeting"), always(rejected));
    const std::string out = home.ctl({"reload"}).out;
    CHECK(says(out, "a.zero:2:7: error: unknown state 'WROLD'\n    align WROLD A\n          ^~~~~\n"));
    CHECK(says(out, "What to do            mend it\n"));
  }
  for (const char* verdict : {"unchanged", "rejected", "abandoned", "failed"}) {
    const FakeControl fake(home.runtime("greeting"), receipt(verdict));
    CHECK(home.ctl({"reload"}).exit_code == (std::string(verdict) == "unchanged" ? 0 : 1));
  }
}

TEST_CASE("zerothctl: logs are escaped, and may follow; events stream") {
  Home home;
  const FakeControl fake(
      home.runtime("greeting"), FakeControl::running("/p", [](const Request& request) {
        const Json line = {
            {"at", "2026-01-31T10:02:11.123Z"}, {"worker", "w"}, {"generation", 3}, {"text", "a\x1b[2Jb\n"}};
        std::string answer = encode_result(request.id, {{"lines", {line}}});
        if (request.params.contains("follow") || request.command == "events") answer += encode_event("log", line);
        return answer;
      }));
  const std::string shown = "10:02:11  w[3]  a\\x1b[2Jb\\n\n";
  CHECK(home.ctl({"logs"}).out == shown);
  CHECK(home.ctl({"--timeout", "0.3", "logs", "-f"}).out == shown + shown);
  CHECK(home.ctl({"--timeout", "0.3", "events"}).out == shown);
  CHECK(home.ctl({"--timeout", "0.3", "--json", "events"}).out.starts_with(R"({"event":"log")"));
}

TEST_CASE("zerothctl: help names what exists, and Zero verbs only where a worker announces them") {
  Home home;
  const std::string alone = home.ctl({"help"}).out;
  CHECK_FALSE(says(alone, "observe"));
  for (const char* absent : {"upgrade", "doctor", "web"}) {
    CAPTURE(absent);
    CHECK_FALSE(says(alone, std::string("\n  ") + absent + " "));
    const ProcessResult result = home.ctl({absent, "12"});
    CHECK(result.exit_code == kExitNotRunning);
    CHECK(says(result.err, "not built yet"));
  }
  const FakeControl fake(home.runtime("greeting"), FakeControl::running("/p"));
  const std::string beside = home.ctl({"--help"}).out;
  CHECK(says(beside, "  observe"));
  CHECK(says(beside, "  visits"));
  CHECK_FALSE(says(beside, "dimension"));
  CHECK(says(home.ctl({"logs", "--help"}).out, "-f,--follow"));
}

TEST_CASE("zerothctl: check and compile become the zeroth-worker beside it, with the same words") {
  Home home;
  const std::string bin = home.dir.path() + "/bin";
  REQUIRE(make_folders(bin).has_value());
  std::filesystem::copy_file(home.program, bin + "/zerothctl");
  home.program = bin + "/zerothctl";
  CHECK(home.ctl({"check", "x.zero"}).exit_code == kExitFailed);
  REQUIRE(write_file_atomically(bin + "/zeroth-worker", "#!/bin/sh\necho \"$@\"\nexit 65\n", 0700).has_value());
  const ProcessResult result = home.ctl({"compile", "x.zero", "-o", "x.z", "--json"});
  CHECK(result.exit_code == kExitCompile);
  CHECK(result.out == "compile x.zero -o x.z --json\n");
}

TEST_CASE("zerothctl: completion scripts are made of the verbs, and bash accepts its own") {
  Home home;
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const ProcessResult result = home.ctl({"completion", shell});
    CHECK(result.exit_code == kExitOk);
    CHECK(says(result.out, "generations"));
  }
  const std::string script = home.dir.path() + "/completion.bash";
  REQUIRE(write_file_atomically(script, home.ctl({"completion", "bash"}).out).has_value());
  const ProcessResult bash = run_process({"bash", "-c",
                                          "source " + script +
                                              "; COMP_WORDS=(zerothctl sna); COMP_CWORD=1; _zerothctl; "
                                              "echo ${COMPREPLY[*]}"});
  CHECK(bash.out == "snapshots snapshot\n");
}

}  // namespace zeroth
