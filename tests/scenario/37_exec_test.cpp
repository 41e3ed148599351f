// Mode exec: the worker becomes the next generation under its own pid. Whatever goes wrong on the way, what was counted
// is kept, one process is live, and a refusal leaves the old generation as it was.

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>

#include "common/files.h"
#include "tests/scenario/fake.h"
#include "tests/scenario/scenario.h"

namespace zeroth {
namespace {

using namespace scenario;

std::vector<std::string> by_exec(std::vector<std::string> more = {}) {
  more.insert(more.end(), {"--reload", "exec"});
  return more;
}

std::vector<std::string> rarely() {
  return by_exec({"--checkpoint-interval", kRareSnapshots});
}

// The value of a variable a process was started with.
std::string variable_of(pid_t pid, const std::string& name) {
  const std::string environment = read_file("/proc/" + std::to_string(pid) + "/environ").value_or("");
  for (std::size_t at = 0; at < environment.size();) {
    const std::string entry = environment.c_str() + at;
    if (entry.starts_with(name + "=")) return entry.substr(name.size() + 1);
    at += entry.size() + 1;
  }
  return "";
}

std::vector<std::string> alive_files(const Daemon& daemon) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(daemon.worker_dir())) {
    if (entry.path().filename().string().starts_with("alive-")) names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

Json receipt_to(Daemon& daemon, std::uint64_t to) {
  const Json generations = daemon.ask("generations")["generations"];
  for (const Json& receipt : generations) {
    if (receipt["to"] == to) return receipt;
  }
  FAIL_CHECK("no receipt of generation ", to, daemon.err());
  return Json::object();
}

void wait_for_mark_of_exec(const std::string& path) {
  const MonotonicTime until = monotonic_now() + kPatience;
  while (::access(path.c_str(), F_OK) != 0) {
    REQUIRE_MESSAGE(monotonic_now() < until, "the step was not reached: ", path);
    ::poll(nullptr, 0, 2);
  }
}

TEST_CASE("exec: a Zero program is reloaded under its pid, with its state and the next generation number") {
  Daemon daemon(kApart, by_exec(kStandingStill));
  const pid_t pid = daemon.worker_pid();
  daemon.ask("state", {{"name", "LEFT"}, {"inject", 3.5}});
  const double before = divergence(living_state(daemon), "LEFT");
  REQUIRE(before != 0);
  for (const std::uint64_t generation : {2, 3}) {
    const Json worker = edit(daemon, generation == 2 ? kApartWider : kApart);
    CHECK(worker["pid"] == pid);
    CHECK(worker["generation"] == generation);
    CHECK(worker["mode"] == "exec");
    CHECK(worker["mode_reason"] == "asked for");
    CHECK(worker["last_reload"]["mode"] == "exec");
    CHECK(worker["last_reload"]["restored_generation"] == generation - 1);
    CHECK(worker["last_reload"]["kept"]["count"] == 2);
    CHECK(divergence(living_state(daemon), "LEFT") == before);
    CHECK(variable_of(pid, "ZEROTH_GENERATION") == std::to_string(generation));
    CHECK(variable_of(pid, "ZEROTH_CAUSE") == "edit");
    CHECK(name_of(variable_of(pid, "ZEROTH_EMERGENCY_FILE")) == "emergency-" + std::to_string(generation) + ".json");
    CHECK(alive_files(daemon) == std::vector<std::string>{"alive-" + std::to_string(generation)});
  }
  CHECK(daemon.workers_running() == std::vector<pid_t>{pid});
  CHECK(daemon.terminate() == 0);
  CHECK(wait_reaped(pid));
  CHECK(alive_files(daemon).empty());
}

TEST_CASE("exec: a program that does not compile is rejected with what is wrong, and the old generation goes on") {
  Daemon daemon(kApart, by_exec(kStandingStill));
  const pid_t pid = daemon.worker_pid();
  daemon.ask("state", {{"name", "LEFT"}, {"inject", 3.5}});
  const double before = divergence(living_state(daemon), "LEFT");
  daemon.write(kBroken);
  const Json worker = daemon.wait_until(
      [](const Json& status) { return status["rejected"].is_object() && status["state"] == "ready"; });
  CHECK(worker["pid"] == pid);
  CHECK(worker["generation"] == 1);
  CHECK(worker["restarts"] == 0);
  CHECK(worker["last_reload"]["verdict"] == "rejected");
  CHECK(worker["last_reload"]["mode"] == "exec");
  CHECK(worker["last_reload"]["reason"] == "the new code does not compile");
  REQUIRE(worker["rejected"]["diagnostics"].size() == 1);
  CHECK(worker["rejected"]["diagnostics"][0]["line"] == 2);
  CHECK(worker["rejected"]["diagnostics"][0]["file"] == daemon.program());
  CHECK(divergence(living_state(daemon), "LEFT") == before);
  CHECK(variable_of(pid, "ZEROTH_GENERATION") == "1");
  CHECK(edit(daemon, kApartWider)["pid"] == pid);
  CHECK(divergence(living_state(daemon), "LEFT") == before);
}

TEST_CASE("exec: a command becomes the next generation too, and nothing acknowledged is lost") {
  FakeDaemon daemon(Json::object(), rarely());
  const pid_t pid = daemon.worker_pid();
  daemon.increment(4);
  daemon.edit({{"next", 1}});
  const Json worker = daemon.wait_generation(2);
  CHECK(worker["last_reload"]["verdict"] == "ok");
  CHECK(worker["last_reload"]["mode"] == "exec");
  CHECK(worker["pid"] == pid);
  CHECK(daemon.count() == 4);
  CHECK(variable_of(pid, "ZEROTH_CHANGED") == daemon.program());
  CHECK(receipt_to(daemon, 2)["mode"] == "exec");
}

TEST_CASE("exec: a worker that did not announce reexec is reloaded by overlap or recreate, which is said") {
  FakeDaemon overlap({{"capabilities", {"checkpoint", "restore", "hold", "call"}}}, by_exec());
  overlap.increment(4);
  overlap.edit({{"capabilities", {"checkpoint", "restore", "hold", "call"}}, {"next", 1}});
  Json worker = overlap.wait_generation(2);
  CHECK(worker["last_reload"]["mode"] == "overlap");
  CHECK(worker["mode_reason"] == "exec was asked for, but the worker announced no reexec");
  CHECK(overlap.count() == 4);

  FakeDaemon recreate({{"capabilities", {"checkpoint", "restore", "call", "reexec"}}}, by_exec());
  recreate.edit({{"capabilities", {"checkpoint", "restore", "call", "reexec"}}, {"next", 1}});
  worker = recreate.wait_generation(2);
  CHECK(worker["last_reload"]["mode"] == "recreate");
  CHECK(worker["mode_reason"] == "exec was asked for, but the worker announced no hold and restore");
}

TEST_CASE("exec: a worker that refuses is held as before and resumes") {
  FakeDaemon daemon(behaviour_at("at_reexec", "error", {1}), rarely());
  const pid_t pid = daemon.worker_pid();
  daemon.increment(4);
  daemon.edit({{"next", 1}});
  const Json receipt = wait_verdict(daemon, "rejected");
  CHECK(contains(receipt["reason"], "the fake refuses reexec"));
  CHECK(daemon.wait_until([](const Json& status) { return status["state"] == "ready"; })["pid"] == pid);
  daemon.increment(5);
  CHECK(daemon.count() == 9);
  CHECK(daemon.worker()["generation"] == 1);
  CHECK(variable_of(pid, "ZEROTH_GENERATION") == "1");
}

TEST_CASE("exec: a refusal whose resume is not answered takes the crash path from the cut") {
  FakeDaemon daemon({{"generations", {1}}, {"at", {{"at_reexec", "error"}, {"at_resume", "hang"}}}}, rarely());
  daemon.increment(4);
  daemon.edit({{"next", 1}});
  const Json worker = daemon.wait_generation(3);
  CHECK(receipt_to(daemon, 2)["verdict"] == "rejected");
  CHECK(worker["last_reload"]["operation"] == "crash-restart");
  CHECK(daemon.count() == 4);
}

struct LostImage {
  const char* name;
  const char* point;
  const char* action;
  const char* verdict;
};

// A command's earlier code is not kept: nothing runs until a save, and that goes on from the cut.
TEST_CASE("exec: new code of a command that dies on its way waits for a save, with the state of the cut") {
  const LostImage all[] = {
      {"before hello", "before_hello", "die", "rejected"},
      {"before loaded", "before_loaded", "exit 3", "rejected"},
      {"speaking nonsense", "before_loaded", "garbage", "rejected"},
      {"restoring", "in_restore", "die", "abandoned"},
      {"refusing its state", "in_restore", "error", "abandoned"},
      {"before ready", "before_ready", "exit 3", "abandoned"},
  };
  for (const LostImage& lost : all) {
    CAPTURE(lost.name);
    FakeDaemon daemon(Json::object(), rarely());
    const pid_t pid = daemon.worker_pid();
    daemon.increment(4);
    daemon.edit(behaviour_at(lost.point, lost.action, {2}));
    const Json failed = daemon.wait_until([](const Json& status) { return status["state"] == "failed"; });
    CHECK(contains(failed["last_failure"]["summary"], "the code before it is not kept"));
    CHECK(receipt_to(daemon, 2)["verdict"] == lost.verdict);
    CHECK(wait_reaped(pid));
    CHECK(daemon.workers_running().empty());
    daemon.edit({{"next", 1}});
    CHECK(daemon.wait_generation(3)["last_reload"]["verdict"] == "ok");
    CHECK(daemon.count() == 4);
  }
}

TEST_CASE("exec: new code that dies at go, or right after it, goes on from the cut") {
  for (const char* point : {"at_go", "after_go"}) {
    CAPTURE(point);
    FakeDaemon daemon(Json::object(), rarely());
    daemon.increment(4);
    daemon.edit(behaviour_at(point, "die", {2}));
    const Json worker = daemon.wait_generation(3);
    CHECK(worker["last_reload"]["operation"] == "crash-restart");
    CHECK(daemon.count() == 4);
    CHECK(daemon.wait_workers(1));
  }
}

TEST_CASE("exec: a cut that cannot be taken leaves the old generation as it was") {
  FakeDaemon daemon(behaviour_at("at_cut", "error", {1}), rarely());
  const pid_t pid = daemon.worker_pid();
  daemon.increment(4);
  daemon.edit({{"next", 1}});
  CHECK(contains(wait_verdict(daemon, "abandoned")["reason"], "the fake refuses checkpoint"));
  CHECK(daemon.worker_pid() == pid);
  CHECK(daemon.count() == 4);
}

// Before its cut is durable the new code is started from it; behind that it has been told to become the new code, whose
// end it is then, and a command's earlier code is not kept.
TEST_CASE("exec: an old generation that dies while held: what goes on has the cut") {
  FakeDaemon daemon(behaviour_at("while_held", "die", {1}), rarely());
  const pid_t pid = daemon.worker_pid();
  daemon.increment(4);
  daemon.edit({{"next", 1}});
  const Json worker = daemon.wait_until([](const Json& status) {
    return (status["state"] == "ready" && status["generation"] >= 2) || status["state"] == "failed";
  });
  if (worker["state"] == "failed") CHECK(daemon.ask("restart")["verdict"] == "ok");
  CHECK(daemon.count() == 4);
  CHECK(wait_reaped(pid));
  CHECK(daemon.wait_workers(1));
}

TEST_CASE("exec: whoever dies on the way to the new code is started again, with the state") {
  FakeDaemon daemon(behaviour_at("at_reexec", "die", {1}), rarely());
  daemon.increment(4);
  daemon.edit({{"next", 1}});
  daemon.wait_until([](const Json& status) { return status["state"] == "failed"; });
  daemon.ask("restart");
  CHECK(daemon.worker()["state"] == "ready");
  CHECK(daemon.count() == 4);
}

TEST_CASE("exec: a worker silent at reexec is ended at the start's deadline; the state is the cut's") {
  FakeDaemon daemon(behaviour_at("at_reexec", "silent", {1}), by_exec({"--start-timeout", "1s"}));
  daemon.increment(4);
  daemon.edit({{"next", 1}});
  const Json failed = daemon.wait_until([](const Json& status) { return status["state"] == "failed"; });
  CHECK(contains(failed["last_reload"]["reason"], "no hello within 1 s"));
  CHECK(daemon.workers_running().empty());
  daemon.ask("restart");
  CHECK(daemon.count() == 4);
}

TEST_CASE("exec: a save while the new code loads leads to one more reload, with the last content") {
  FakeDaemon daemon(Json::object(), rarely());
  const pid_t pid = daemon.worker_pid();
  daemon.increment(4);
  daemon.edit(behaviour_at("before_loaded", {"touch reached", "wait saved"}, {2}));
  wait_for_mark_of_exec(daemon.beside("reached"));
  CHECK(daemon.worker()["pid"] == pid);  // also between hello and go
  CHECK(daemon.worker()["state"] == "reloading");
  daemon.edit({{"content", "last"}});
  daemon.touch("saved");
  const Json worker = daemon.wait_generation(3);
  CHECK(worker["pid"] == pid);
  CHECK(worker["restarts"] == 0);
  CHECK(daemon.count() == 4);
}

TEST_CASE("exec: a stop while the new code loads keeps the cut") {
  FakeDaemon daemon(Json::object(), rarely());
  daemon.increment(4);
  daemon.edit(behaviour_at("before_loaded", {"touch reached", "hang"}, {2}));
  wait_for_mark_of_exec(daemon.beside("reached"));
  CHECK(daemon.terminate() == 0);
  CHECK(daemon.wait_no_workers());
  daemon.edit({{"content", "last"}});
  daemon.restart();
  CHECK(daemon.count() == 4);
}

struct ExecStep {
  const char* name;
  const char* point;
  int generation;
};

TEST_CASE("exec: kill -9 of the supervisor in each step: the next start goes on, with one worker") {
  constexpr ExecStep kExecSteps[] = {
      {"it is asked for its cut", "at_cut", 1},      {"it is held", "while_held", 1},
      {"it is told to exec", "at_reexec", 1},        {"the new code has not said hello", "before_hello", 2},
      {"the new code loads", "before_loaded", 2},    {"it restores", "in_restore", 2},
      {"it is not ready yet", "before_ready", 2},    {"go is on its way", "at_go", 2},
      {"the new generation is live", "after_go", 2},
  };
  for (const ExecStep& step : kExecSteps) {
    CAPTURE(step.name);
    const Json usual = {{"ignore_term", true}};
    Json there = behaviour_at(step.point, Json::array({"touch reached", "late 400"}), {step.generation});
    there.update(usual);
    FakeDaemon daemon(step.generation == 1 ? there : usual, rarely());
    daemon.increment(4);
    Json edited = step.generation == 2 ? there : usual;
    edited["next"] = 1;
    daemon.edit(edited);
    wait_for_mark_of_exec(daemon.beside("reached"));
    daemon.kill_supervisor();
    daemon.restart();
    CHECK(daemon.count() == 4);
    CHECK(daemon.generation() > 1);
    CHECK(daemon.wait_workers(1));
    CHECK(alive_files(daemon).size() == 1);
  }
}

TEST_CASE("exec: a Zero program whose process dies on the way goes on with its kept code and the cut") {
  Daemon daemon(kApart, by_exec(kByHand));
  const pid_t pid = daemon.worker_pid();
  daemon.ask("state", {{"name", "LEFT"}, {"inject", 3.5}});
  const double before = divergence(living_state(daemon), "LEFT");
  // Stopped, it cannot answer the cut in time; killed then, nothing but the newest snapshot is left.
  ::kill(pid, SIGSTOP);
  daemon.write(kApartWider);
  daemon.wait_until([](const Json& status) { return status["state"] == "reloading"; });
  ::kill(pid, SIGKILL);
  const Json worker =
      daemon.wait_until([&](const Json& status) { return status["state"] == "ready" && status["pid"] != pid; });
  CHECK(worker["generation"] > 1);
  CHECK(divergence(living_state(daemon), "LEFT") == before);
}

TEST_CASE("exec: a rollback brings back code and state under the same pid") {
  Daemon daemon(kApart, by_exec(kByHand));
  const pid_t pid = daemon.worker_pid();
  daemon.ask("state", {{"name", "LEFT"}, {"inject", 3.5}});
  const double before = divergence(living_state(daemon), "LEFT");
  edit(daemon, kApartWider);
  daemon.ask("state", {{"name", "LEFT"}, {"inject", 1.0}});
  const Json receipt = daemon.ask("rollback", {{"generation", 1}});
  CHECK(receipt["verdict"] == "ok");
  CHECK(receipt["mode"] == "exec");
  CHECK(daemon.worker_pid() == pid);
  CHECK(divergence(living_state(daemon), "LEFT") == before);
}

}  // namespace
}  // namespace zeroth
