// A live worker that breaks the protocol is killed and restarted, the supervisor is fine; save is durable when it is
// answered; a worker that cannot hold is recreated with its state.

#include <unistd.h>

#include <csignal>

#include "tests/scenario/fake.h"

namespace zeroth {
namespace {

using namespace scenario;

void check_restarted(const char* action, const char* reason) {
  CAPTURE(std::string(action));
  FakeDaemon daemon(Json::object(), {"--checkpoint-interval", kRareSnapshots});
  daemon.increment(3);
  daemon.ask("checkpoint");
  const pid_t supervisor = daemon.pid();
  daemon.edit(behaviour_at("at_call", action, {2}));
  daemon.wait_generation(2);
  CHECK(!daemon.call("get"));
  const Json worker = daemon.wait_generation(3);
  CHECK(worker["restarts"] == 1);
  CHECK(daemon.logs(reason));
  CHECK(contains(worker["last_exit"]["meaning"], reason));
  CHECK(daemon.count() == 3);
  CHECK(daemon.pid() == supervisor);
  CHECK(daemon.workers_running() == std::vector<pid_t>{daemon.worker_pid()});
}

TEST_CASE("misbehaviour: a live worker that sends nonsense is killed and restarted") {
  check_restarted("garbage", "not a message on the channel");
  check_restarted("long_line", "longer than 1 MiB");
}

TEST_CASE("misbehaviour: an answer that comes twice is counted once") {
  FakeDaemon daemon(behaviour_at("at_call", "twice"));
  daemon.increment(1);
  CHECK(daemon.count() == 1);
  daemon.increment(1);
  CHECK(daemon.count() == 2);
}

TEST_CASE("misbehaviour: a second hello ends the generation that says it") {
  FakeDaemon daemon;
  const pid_t pid = daemon.worker_pid();
  daemon.edit({{"faults", {"two_hellos"}}});
  CHECK(contains(wait_verdict(daemon, "rejected")["reason"], "a second hello"));
  CHECK(daemon.worker_pid() == pid);
}

TEST_CASE("save: what was saved survives kill -9 right after the answer") {
  FakeDaemon daemon(Json::object(), {"--checkpoint-interval", kRareSnapshots});
  for (int i = 1; i <= 5; ++i) {
    const Json saved = daemon.ask("inc_saved");
    CHECK(saved["count"] == i);
    CHECK(saved["saved"]["sequence"].is_number());
    const std::uint64_t generation = daemon.generation();
    daemon.kill_worker();
    daemon.wait_generation(generation + 1);
    CHECK(daemon.count() == i);
  }
}

TEST_CASE("save: what was saved survives kill -9 of supervisor and worker") {
  FakeDaemon daemon(Json::object(), {"--checkpoint-interval", kRareSnapshots});
  CHECK(daemon.ask("inc_saved", {{"by", 6}})["count"] == 6);
  const pid_t worker = daemon.worker_pid();
  ::kill(worker, SIGKILL);
  daemon.kill_supervisor();
  daemon.restart();
  CHECK(daemon.count() == 6);
}

TEST_CASE("save: asked for during a reload it is answered by the end of it") {
  FakeDaemon daemon(Json::object(), {"--checkpoint-interval", kRareSnapshots});
  daemon.increment(2);
  daemon.edit({{"next", 1}});
  daemon.wait_generation(2);
  CHECK(daemon.ask("inc_saved")["count"] == 3);
}

TEST_CASE("recreate: a worker that cannot hold is stopped first and its saved state carried over") {
  const Json behaviour = {{"capabilities", {"checkpoint", "restore", "call"}}};
  FakeDaemon daemon(behaviour, {"--checkpoint-interval", kRareSnapshots});
  CHECK(daemon.worker()["mode"] == "recreate");
  CHECK(daemon.ask("inc_saved", {{"by", 4}})["count"] == 4);
  const pid_t pid = daemon.worker_pid();
  Json next = behaviour;
  next["next"] = 1;
  daemon.edit(next);
  const Json worker = daemon.wait_generation(2);
  CHECK(worker["last_reload"]["mode"] == "recreate");
  CHECK(worker["last_reload"]["verdict"] == "ok");
  CHECK(daemon.count() == 4);
  CHECK(wait_reaped(pid));
}

TEST_CASE("recreate: asked for by option, the cut carries the state over") {
  FakeDaemon daemon(Json::object(), {"--checkpoint-interval", kRareSnapshots, "--reload", "recreate"});
  daemon.increment(4);
  daemon.edit({{"next", 1}});
  const Json worker = daemon.wait_generation(2);
  CHECK(worker["last_reload"]["mode"] == "recreate");
  CHECK(daemon.count() == 4);
}

}  // namespace
}  // namespace zeroth
