// --verify-restore and --on-loss=refuse: a new generation that does not have the state it was given, or that no longer
// has a place for part of it, does not go live; the old one goes on with everything.

#include "tests/scenario/fake.h"
#include "tests/scenario/scenario.h"

namespace zeroth {
namespace {

using namespace scenario;

std::vector<std::string> verified(std::vector<std::string> more = {}) {
  more.insert(more.end(), {"--verify-restore", "--checkpoint-interval", kRareSnapshots});
  return more;
}

std::vector<std::string> refusing_loss(std::vector<std::string> more = {}) {
  more.insert(more.end(), {"--on-loss", "refuse"});
  return more;
}

Json with_fault(const char* fault) {
  return {{"faults", {fault}}, {"generations", {2}}};
}

TEST_CASE("verify: a state that was restored as it was goes live") {
  for (const char* mode : {"overlap", "recreate", "exec"}) {
    CAPTURE(mode);
    FakeDaemon daemon(Json::object(), verified({"--reload", mode}));
    daemon.increment(4);
    daemon.edit({{"next", 1}});
    CHECK(daemon.wait_generation(2)["last_reload"]["verdict"] == "ok");
    CHECK(daemon.count() == 4);
  }
}

TEST_CASE("verify: a changed state is abandoned with its pointer, and the old generation resumes") {
  FakeDaemon daemon(Json::object(), verified());
  const pid_t pid = daemon.worker_pid();
  daemon.increment(4);
  daemon.edit(with_fault("changes_state"));
  const Json receipt = wait_verdict(daemon, "abandoned");
  CHECK(receipt["reason"] == "the restored state is not the one that was saved: /count is 5, was 4");
  CHECK(daemon.wait_until([](const Json& status) { return status["state"] == "ready"; })["pid"] == pid);
  daemon.increment(5);
  CHECK(daemon.count() == 9);
  CHECK(daemon.workers_running() == std::vector<pid_t>{pid});
}

TEST_CASE("verify: without it the same reload goes live") {
  FakeDaemon daemon;
  daemon.increment(4);
  daemon.edit(with_fault("changes_state"));
  CHECK(daemon.wait_generation(2)["last_reload"]["verdict"] == "ok");
  CHECK(daemon.count() == 5);
}

TEST_CASE("verify: a difference that the new code tells of is none") {
  FakeDaemon daemon(Json::object(), verified());
  daemon.increment(4);
  daemon.edit({{"faults", {"changes_state", "says_rewritten"}}, {"generations", {2}}});
  const Json worker = daemon.wait_generation(2);
  CHECK(worker["last_reload"]["verdict"] == "ok");
  CHECK(worker["last_reload"]["rewritten"]["names"] == Json::array({"count"}));
  CHECK(daemon.count() == 5);
}

TEST_CASE("verify: a generation that does not tell its state is abandoned") {
  FakeDaemon daemon(Json::object(), verified());
  daemon.increment(4);
  daemon.edit(behaviour_at("at_checkpoint", "error", {2}));
  CHECK(contains(wait_verdict(daemon, "abandoned")["reason"], "asking for the restored state: "));
  CHECK(daemon.generation() == 1);
  CHECK(daemon.count() == 4);
  daemon.edit(behaviour_at("at_checkpoint", "die", {3}));
  daemon.wait_until([](const Json& status) { return status["last_reload"]["to"] == 3; });
  CHECK(daemon.generation() == 1);
  CHECK(daemon.count() == 4);
}

TEST_CASE("verify: in recreate and exec a changed state is not taken either; the state of the cut is kept") {
  for (const char* mode : {"recreate", "exec"}) {
    CAPTURE(mode);
    FakeDaemon daemon(Json::object(), verified({"--reload", mode}));
    daemon.increment(4);
    daemon.edit(with_fault("changes_state"));
    daemon.wait_until([](const Json& status) { return status["state"] == "failed"; });
    daemon.edit({{"next", 1}});
    CHECK(daemon.wait_generation(3)["last_reload"]["verdict"] == "ok");
    CHECK(daemon.count() == 4);
  }
}

TEST_CASE("verify: a Zero program with other states, names and settings has the state it was given") {
  Daemon daemon(kApart, verified({"--rate", "0.001"}));
  daemon.ask("state", {{"name", "LEFT"}, {"inject", 3.5}});
  const double before = divergence(living_state(daemon), "LEFT");
  for (const char* program : {"state RIGHT\nstate LEFT\nobserve convergence epsilon 0.0001\n",
                              "state RIGHT\nstate LEFT\nstate UP\nobserve convergence epsilon 0.5\n",
                              "state LEFT\nobserve convergence epsilon 0.0001\n"}) {
    CAPTURE(program);
    CHECK(edit(daemon, program)["last_reload"]["verdict"] == "ok");
    CHECK(divergence(living_state(daemon), "LEFT") == before);
  }
}

TEST_CASE("loss: new code without a place for part of the state is abandoned, and taken when that is accepted") {
  Daemon daemon(kApart, refusing_loss(kStandingStill));
  const pid_t pid = daemon.worker_pid();
  daemon.ask("state", {{"name", "LEFT"}, {"inject", 3.5}});
  daemon.write("state LEFT\nobserve convergence epsilon 0.0001\n");
  const Json worker = daemon.wait_until(
      [](const Json& status) { return status["last_reload"]["verdict"] == "abandoned" && status["state"] == "ready"; });
  CHECK(worker["last_reload"]["reason"] ==
        "the new code no longer has 1 part (RIGHT) of the state; zerothctl reload --force accepts that");
  CHECK(worker["pid"] == pid);
  const Json receipt = daemon.ask("reload", {{"force", true}});
  CHECK(receipt["verdict"] == "ok");
  CHECK(receipt["removed"]["names"] == Json::array({"RIGHT"}));
}

TEST_CASE("loss: what was accepted once is not asked about again, a further loss is") {
  FakeDaemon daemon(Json::object(), refusing_loss());
  Json drops = {{"faults", {"drops"}}, {"generations", {2, 3, 4}}};
  daemon.edit(drops);
  wait_verdict(daemon, "abandoned");
  CHECK(daemon.ask("reload", {{"force", true}})["removed"]["count"] == 1);
  drops["next"] = 1;
  daemon.edit(drops);
  const Json receipt = daemon.wait_generation(4)["last_reload"];
  CHECK(receipt["verdict"] == "ok");
  CHECK(receipt["removed"]["count"] == 1);
}

TEST_CASE("loss: nothing is refused where nothing is lost, nor unless it was asked for") {
  FakeDaemon kept(Json::object(), refusing_loss());
  kept.edit({{"next", 1}});
  CHECK(kept.wait_generation(2)["last_reload"]["verdict"] == "ok");
  FakeDaemon usual;
  usual.edit(with_fault("drops"));
  CHECK(usual.wait_generation(2)["last_reload"]["verdict"] == "ok");
}

TEST_CASE("loss: a refused one leaves a command as it was, too") {
  FakeDaemon daemon(Json::object(), refusing_loss());
  const pid_t pid = daemon.worker_pid();
  daemon.increment(4);
  daemon.edit(with_fault("drops"));
  CHECK(contains(wait_verdict(daemon, "abandoned")["reason"], "1 part (lost) of the state"));
  CHECK(daemon.worker_pid() == pid);
  CHECK(daemon.count() == 4);
}

}  // namespace
}  // namespace zeroth
