// Mode recreate in every order of failure: the old generation is gone before the new one starts, so what goes wrong
// later goes on with the kept code, or waits for a save; the state is that of the cut in any case.

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "common/snapshot_format.h"
#include "tests/scenario/fake.h"
#include "tests/scenario/scenario.h"

namespace zeroth {
namespace {

using namespace scenario;

std::vector<std::string> by_recreate(std::vector<std::string> more = {}) {
  more.insert(more.end(), {"--reload", "recreate", "--checkpoint-interval", kRareSnapshots});
  return more;
}

Json recreate_receipt(Daemon& daemon, std::uint64_t to) {
  const Json generations = daemon.ask("generations")["generations"];
  for (const Json& receipt : generations) {
    if (receipt["to"] == to) return receipt;
  }
  FAIL_CHECK("no receipt of generation ", to, daemon.err());
  return Json::object();
}

void wait_until_there(const std::string& path) {
  const MonotonicTime until = monotonic_now() + kPatience;
  while (::access(path.c_str(), F_OK) != 0) {
    REQUIRE_MESSAGE(monotonic_now() < until, "the step was not reached: ", path);
    ::poll(nullptr, 0, 2);
  }
}

TEST_CASE("recreate: a cut that is refused leaves the old generation as it was") {
  FakeDaemon daemon(behaviour_at("at_cut", "error", {1}), by_recreate());
  const pid_t pid = daemon.worker_pid();
  daemon.increment(4);
  daemon.edit({{"next", 1}});
  CHECK(contains(wait_verdict(daemon, "abandoned")["reason"], "the fake refuses checkpoint"));
  CHECK(daemon.wait_until([](const Json& status) { return status["state"] == "ready"; })["pid"] == pid);
  CHECK(daemon.count() == 4);
}

TEST_CASE("recreate and exec: a cut that cannot be committed is abandoned, and the old generation resumes") {
  for (const char* mode : {"recreate", "exec"}) {
    CAPTURE(mode);
    FakeDaemon daemon(behaviour_at("at_cut", {"touch reached", "wait broken"}, {1}),
                      {"--reload", mode, "--checkpoint-interval", "0"});
    const pid_t pid = daemon.worker_pid();
    daemon.increment(4);
    const std::uint64_t first = daemon.ask("checkpoint")["sequence"];
    daemon.edit({{"next", 1}});
    wait_until_there(daemon.beside("reached"));
    // Nothing can be renamed over a folder.
    std::vector<std::string> names;
    for (std::uint64_t next = first + 1; next < first + 4; ++next) {
      names.push_back(daemon.worker_dir() + "/snapshots/" + snapshot_name(next));
      REQUIRE(::mkdir(names.back().c_str(), 0700) == 0);
    }
    daemon.touch("broken");
    const Json worker = daemon.wait_until([](const Json& status) {
      return status["last_reload"]["verdict"] == "abandoned" && status["state"] == "ready";
    });
    CHECK(worker["pid"] == pid);
    CHECK(daemon.count() == 4);
    for (const std::string& name : names) REQUIRE(::rmdir(name.c_str()) == 0);
    CHECK(daemon.ask("reload", {{"force", true}})["verdict"] == "ok");
    CHECK(daemon.count() == 4);
  }
}

TEST_CASE("recreate: an old generation that dies while held: the new one goes on with the cut") {
  FakeDaemon daemon(behaviour_at("while_held", "die", {1}), by_recreate());
  const pid_t pid = daemon.worker_pid();
  daemon.increment(4);
  daemon.edit({{"next", 1}});
  daemon.wait_until([](const Json& status) { return status["state"] == "ready" && status["generation"] >= 2; });
  CHECK(daemon.count() == 4);
  CHECK(wait_reaped(pid));
}

TEST_CASE("recreate: an old generation that dies at its cut restarts from the newest snapshot, then one more reload") {
  FakeDaemon daemon(behaviour_at("at_cut", "die", {1}), by_recreate());
  daemon.increment(4);
  daemon.ask("checkpoint");
  daemon.edit({{"next", 1}});
  daemon.wait_until(
      [](const Json& status) { return status["state"] == "ready" && status["last_reload"]["operation"] == "reload"; });
  CHECK(daemon.count() == 4);
  CHECK(daemon.wait_workers(1));
}

TEST_CASE("recreate: an old generation that dies, or does nothing, when told to stop: the new one goes on") {
  for (const char* action : {"die", "exit 3", "silent", "hang"}) {
    CAPTURE(action);
    FakeDaemon daemon(behaviour_at("at_stop", action, {1}), by_recreate({"--stop-timeout", "200ms"}));
    const pid_t pid = daemon.worker_pid();
    daemon.increment(4);
    daemon.edit({{"next", 1}});
    const Json worker = daemon.wait_generation(2);
    CHECK(worker["last_reload"]["verdict"] == "ok");
    CHECK(worker["restarts"] == 0);
    CHECK(daemon.count() == 4);
    CHECK(wait_reaped(pid));
  }
}

TEST_CASE("recreate: a drain that is not answered ends with its time") {
  Json behaviour = behaviour_at("at_drain", "silent", {1});
  behaviour["capabilities"] = {"checkpoint", "restore", "hold", "call", "drain"};
  FakeDaemon daemon(behaviour, by_recreate({"--drain-timeout", "50ms"}));
  daemon.increment(4);
  daemon.edit({{"next", 1}});
  CHECK(daemon.wait_generation(2)["last_reload"]["verdict"] == "ok");
  CHECK(daemon.count() == 4);
}

TEST_CASE("recreate: an old generation silent at resume is killed and started again, with the cut") {
  Json behaviour = {{"generations", {1}}, {"at", {{"at_cut", "error"}, {"at_resume", "silent"}}}};
  FakeDaemon daemon(behaviour, by_recreate());
  const pid_t pid = daemon.worker_pid();
  daemon.increment(4);
  daemon.ask("checkpoint");
  daemon.edit({{"next", 1}});
  daemon.wait_until([&](const Json& status) { return status["state"] == "ready" && status["pid"] != pid; });
  CHECK(daemon.count() == 4);
  CHECK(wait_reaped(pid));
}

struct LostSuccessor {
  const char* point;
  const char* action;
  const char* verdict;
};

TEST_CASE("recreate: new code of a command that does not make it waits for a save, with the state of the cut") {
  const LostSuccessor all[] = {
      {"before_hello", "die", "rejected"},      {"before_hello", "exit 3", "rejected"},
      {"before_loaded", "garbage", "rejected"}, {"before_loaded", "exit 3", "rejected"},
      {"in_restore", "error", "abandoned"},     {"in_restore", "die", "abandoned"},
      {"before_ready", "exit 3", "abandoned"},
  };
  for (const LostSuccessor& lost : all) {
    CAPTURE(lost.point);
    CAPTURE(lost.action);
    FakeDaemon daemon(Json::object(), by_recreate());
    daemon.increment(4);
    daemon.edit(behaviour_at(lost.point, lost.action, {2}));
    const Json failed = daemon.wait_until([](const Json& status) { return status["state"] == "failed"; });
    CHECK(contains(failed["last_failure"]["summary"], "the code before it is not kept"));
    CHECK(recreate_receipt(daemon, 2)["verdict"] == lost.verdict);
    CHECK(daemon.wait_no_workers());
    daemon.edit({{"next", 1}});
    CHECK(daemon.wait_generation(3)["last_reload"]["verdict"] == "ok");
    CHECK(daemon.count() == 4);
  }
}

TEST_CASE("recreate: a Zero program that does not compile is rejected, and its kept code goes on with the cut") {
  Daemon daemon(kApart, by_recreate(kStandingStill));
  daemon.ask("state", {{"name", "LEFT"}, {"inject", 3.5}});
  const double before = divergence(living_state(daemon), "LEFT");
  daemon.ask("state", {{"name", "LEFT"}, {"inject", 1.0}});  // only in the cut
  daemon.write(kBroken);
  const Json worker =
      daemon.wait_until([](const Json& status) { return status["state"] == "ready" && status["generation"] == 3; });
  CHECK(recreate_receipt(daemon, 2)["verdict"] == "rejected");
  CHECK(worker["rejected"]["diagnostics"].size() == 1);
  CHECK(worker["restarts"] == 0);
  CHECK(divergence(living_state(daemon), "LEFT") == doctest::Approx(before + 1.0));
}

TEST_CASE("recreate: new code that dies at go, or right after it, goes on from the cut") {
  for (const char* point : {"at_go", "after_go"}) {
    CAPTURE(point);
    FakeDaemon daemon(Json::object(), by_recreate());
    daemon.increment(4);
    daemon.edit(behaviour_at(point, "die", {2}));
    CHECK(daemon.wait_generation(3)["last_reload"]["operation"] == "crash-restart");
    CHECK(daemon.count() == 4);
    CHECK(daemon.wait_workers(1));
  }
}

TEST_CASE("recreate: new code silent at go is killed; the crash path from the cut") {
  FakeDaemon daemon(Json::object(), by_recreate());
  daemon.increment(4);
  daemon.edit(behaviour_at("at_go", "hang", {2}));
  const Json worker = daemon.wait_generation(3);
  CHECK(recreate_receipt(daemon, 2)["verdict"] == "failed");
  CHECK(contains(recreate_receipt(daemon, 2)["reason"], "go: no answer within 2 s"));
  CHECK(worker["restarts"] == 1);
  CHECK(daemon.count() == 4);
}

// The reload's own cut is what the save gets as its answer, in every mode.
TEST_CASE("save in flight: the cut of a reload counts as its answer, and it is durable then") {
  for (const char* mode : {"overlap", "recreate", "exec"}) {
    CAPTURE(mode);
    FakeDaemon daemon(behaviour_at("at_checkpoint", {"touch asked", "wait edited", "error"}, {1}),
                      {"--reload", mode, "--checkpoint-interval", "0"});
    ControlClient client = connected(daemon.socket());
    client.send("inc_saved", {{"by", 4}});
    wait_until_there(daemon.beside("asked"));
    daemon.edit({{"next", 1}});
    // Then the cut was asked for, behind the checkpoint that the save led to and that is refused for it.
    daemon.wait_until([](const Json& status) { return status["state"] == "reloading"; });
    daemon.touch("edited");
    const auto answer = client.receive();
    REQUIRE(answer);
    const auto* response = std::get_if<Response>(&*answer);
    REQUIRE((response != nullptr && response->outcome.has_value()));
    CHECK((*response->outcome)["count"] == 4);
    const std::uint64_t sequence = (*response->outcome)["saved"]["sequence"];
    const Json worker = daemon.wait_generation(2);
    CHECK(worker["last_reload"]["verdict"] == "ok");
    CHECK(worker["last_reload"]["snapshot"] == sequence);
    CHECK(daemon.count() == 4);
    CHECK(state_of(daemon, sequence)["count"] == 4);
  }
}

struct StopPoint {
  const char* point;
  int generation;
};

TEST_CASE("stop in each step of a reload: it ends with everything saved, in every mode") {
  constexpr StopPoint kPoints[] = {
      {"at_drain", 1},      {"at_cut", 1},     {"while_held", 1},   {"at_stop", 1}, {"before_hello", 2},
      {"before_loaded", 2}, {"in_restore", 2}, {"before_ready", 2}, {"at_go", 2},   {"after_go", 2},
  };
  for (const char* mode : {"recreate", "exec", "overlap"}) {
    for (const StopPoint& step : kPoints) {
      if (std::string(mode) == "exec" && std::string(step.point) == "at_stop") continue;  // nobody is stopped
      CAPTURE(mode);
      CAPTURE(step.point);
      const Json all = {"checkpoint", "restore", "hold", "call", "drain", "reexec"};
      Json there = behaviour_at(step.point, Json::array({"touch reached", "wait stopping"}), {step.generation});
      there["capabilities"] = all;
      FakeDaemon daemon(step.generation == 1 ? there : Json{{"capabilities", all}},
                        {"--reload", mode, "--checkpoint-interval", kRareSnapshots, "--drain-timeout", "10s"});
      daemon.increment(4);
      Json next = step.generation == 2 ? there : Json{{"capabilities", all}};
      next["next"] = 1;
      EventStream events = daemon.events({"worker-state"});
      daemon.edit(next);
      wait_until_there(daemon.beside("reached"));
      ::kill(daemon.pid(), SIGTERM);
      events.wait_for("worker-state", [](const Json& data) { return data["state"] == "stopping"; });
      daemon.touch("stopping");
      CHECK(daemon.wait_exit() == 0);
      CHECK(daemon.wait_no_workers());
      daemon.restart();
      CHECK(daemon.count() == 4);
      CHECK(daemon.wait_workers(1));
    }
  }
}

}  // namespace
}  // namespace zeroth
