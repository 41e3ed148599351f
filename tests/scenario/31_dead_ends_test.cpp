// The dead ends of a reload behind the cut (lifecycle.md): an old generation that is late, dies or falls silent, a new
// one that is silent at go. Whoever goes on, nothing that was counted is lost and never two are live.

#include <unistd.h>

#include <csignal>

#include "tests/scenario/fake.h"

namespace zeroth {
namespace {

using namespace scenario;

Json receipt_of(FakeDaemon& daemon, std::uint64_t to) {
  const Json generations = daemon.ask("generations")["generations"];
  for (const Json& receipt : generations) {
    if (receipt["to"] == to) return receipt;
  }
  FAIL_CHECK("no receipt of generation ", to, ": ", generations.dump(1), daemon.err());
  return Json::object();
}

TEST_CASE("dead end: a late cut is abandoned and the old generation resumes") {
  FakeDaemon daemon(behaviour_at("at_cut", "late 10500", {1}), {"--checkpoint-interval", kRareSnapshots});
  daemon.increment(4);
  const pid_t pid = daemon.worker_pid();
  daemon.edit({{"next", 1}});
  const Json receipt = wait_verdict(daemon, "abandoned");
  CHECK(contains(receipt["reason"], "no answer within 10 s"));
  CHECK(receipt["to"] == 2);
  const Json worker = daemon.wait_until([](const Json& status) { return status["state"] == "ready"; });
  CHECK(worker["pid"] == pid);
  CHECK(worker["generation"] == 1);
  CHECK(daemon.count() == 4);
  CHECK(daemon.workers_running() == std::vector<pid_t>{pid});
}

TEST_CASE("dead end: a refused cut is abandoned and the old generation goes on") {
  FakeDaemon daemon(behaviour_at("at_cut", "error", {1}));
  daemon.increment(4);
  const pid_t pid = daemon.worker_pid();
  daemon.edit({{"next", 1}});
  CHECK(contains(wait_verdict(daemon, "abandoned")["reason"], "the fake refuses checkpoint"));
  CHECK(daemon.worker_pid() == pid);
  CHECK(daemon.count() == 4);
}

TEST_CASE("dead end: an old generation that dies at the cut restarts from the newest snapshot, then one more reload") {
  FakeDaemon daemon(behaviour_at("at_cut", "die", {1}), {"--checkpoint-interval", kRareSnapshots});
  daemon.increment(4);
  daemon.ask("checkpoint");
  const pid_t pid = daemon.worker_pid();
  daemon.edit({{"next", 1}});
  const Json worker = daemon.wait_generation(4);
  CHECK(receipt_of(daemon, 2)["verdict"] == "abandoned");
  CHECK(receipt_of(daemon, 3)["operation"] == "crash-restart");
  CHECK(receipt_of(daemon, 3)["verdict"] == "ok");
  CHECK(worker["last_reload"]["operation"] == "reload");
  CHECK(worker["last_reload"]["verdict"] == "ok");
  CHECK(daemon.count() == 4);
  CHECK(wait_reaped(pid));
}

TEST_CASE("dead end: an old generation that hangs at the cut is killed and restarts from the newest snapshot") {
  FakeDaemon daemon(behaviour_at("at_cut", "hang", {1}), {"--checkpoint-interval", kRareSnapshots});
  daemon.increment(4);
  daemon.ask("checkpoint");
  const pid_t pid = daemon.worker_pid();
  daemon.edit({{"next", 1}});
  // 10 s for the cut, then as long again and 2 s for the resume behind it.
  daemon.wait_generation(4, Milliseconds(40'000));
  CHECK(receipt_of(daemon, 2)["verdict"] == "abandoned");
  CHECK(receipt_of(daemon, 3)["operation"] == "crash-restart");
  CHECK(daemon.count() == 4);
  CHECK(wait_reaped(pid));
}

TEST_CASE("dead end: an old generation that dies while held: the new one goes on with the cut") {
  FakeDaemon daemon(behaviour_at("while_held", {"wait restoring", "die"}, {1}),
                    {"--checkpoint-interval", kRareSnapshots});
  daemon.increment(4);
  daemon.ask("checkpoint");
  daemon.increment(5);  // only in the cut
  const pid_t pid = daemon.worker_pid();
  daemon.edit(behaviour_at("in_restore", {"touch restoring", "wait old-is-gone"}, {2}));
  CHECK(wait_reaped(pid));
  daemon.touch("old-is-gone");
  const Json worker = daemon.wait_generation(2);
  CHECK(worker["generation"] == 2);
  CHECK(worker["last_reload"]["verdict"] == "ok");
  CHECK(daemon.count() == 9);
}

TEST_CASE("dead end: the old dies while held and the new one fails too: the crash path from the cut") {
  FakeDaemon daemon(behaviour_at("while_held", {"wait restoring", "die"}, {1}),
                    {"--checkpoint-interval", kRareSnapshots});
  daemon.increment(4);
  daemon.ask("checkpoint");
  daemon.increment(5);
  const pid_t pid = daemon.worker_pid();
  daemon.edit(behaviour_at("in_restore", {"touch restoring", "wait old-is-gone", "die"}, {2}));
  CHECK(wait_reaped(pid));
  daemon.touch("old-is-gone");
  const Json worker = daemon.wait_generation(3);
  CHECK(receipt_of(daemon, 2)["verdict"] == "abandoned");
  CHECK(worker["last_reload"]["operation"] == "crash-restart");
  CHECK(daemon.count() == 9);
}

TEST_CASE("dead end: a new generation silent at go is killed; the crash path from the cut, the old never resumes") {
  FakeDaemon daemon(behaviour_at("at_resume", {"touch resumed"}), {"--checkpoint-interval", kRareSnapshots});
  daemon.increment(4);
  const pid_t pid = daemon.worker_pid();
  daemon.edit(behaviour_at("at_go", "hang", {2}));
  const Json worker = daemon.wait_generation(3);
  const Json failed = receipt_of(daemon, 2);
  CHECK(failed["verdict"] == "failed");
  CHECK(contains(failed["reason"], "go: no answer within 2 s"));
  CHECK(worker["last_reload"]["operation"] == "crash-restart");
  CHECK(worker["last_reload"]["restored_generation"] == 1);
  CHECK(daemon.count() == 4);
  CHECK(wait_reaped(pid));
  CHECK(::access(daemon.beside("resumed").c_str(), F_OK) != 0);
  CHECK(daemon.workers_running() == std::vector<pid_t>{daemon.worker_pid()});
}

TEST_CASE("dead end: a new generation that dies at go: the crash path from the cut") {
  FakeDaemon daemon(Json::object(), {"--checkpoint-interval", kRareSnapshots});
  daemon.increment(4);
  daemon.edit(behaviour_at("at_go", "die", {2}));
  const Json worker = daemon.wait_generation(3);
  CHECK(receipt_of(daemon, 2)["verdict"] == "failed");
  CHECK_MESSAGE(contains(receipt_of(daemon, 2)["reason"], "SIGABRT"), receipt_of(daemon, 2).dump(), daemon.err());
  CHECK(worker["last_reload"]["operation"] == "crash-restart");
  CHECK(daemon.count() == 4);
}

TEST_CASE("dead end: an old generation silent at resume is killed; the crash path") {
  FakeDaemon daemon(behaviour_at("at_resume", "hang", {1}), {"--checkpoint-interval", kRareSnapshots});
  daemon.increment(4);
  const pid_t pid = daemon.worker_pid();
  daemon.edit(behaviour_at("in_restore", "error", {2}));
  const Json worker = daemon.wait_generation(3);
  CHECK(receipt_of(daemon, 2)["verdict"] == "abandoned");
  CHECK(receipt_of(daemon, 3)["operation"] == "crash-restart");
  CHECK(worker["generation"] == 3);
  CHECK(daemon.count() == 4);
  CHECK(wait_reaped(pid));
}

TEST_CASE("dead end: an old generation that ignores stop is killed, the new one is live meanwhile") {
  FakeDaemon daemon(behaviour_at("at_stop", "silent", {1}), {"--stop-timeout", "200ms"});
  daemon.increment(4);
  const pid_t pid = daemon.worker_pid();
  daemon.edit({{"next", 1}});
  CHECK(daemon.wait_generation(2)["last_reload"]["verdict"] == "ok");
  CHECK(daemon.count() == 4);
  CHECK(wait_reaped(pid));
  CHECK(daemon.worker()["generation"] == 2);
}

TEST_CASE("dead end: an old generation silent at drain is cut when the drain's time is over") {
  Json behaviour = behaviour_at("at_drain", "silent", {1});
  behaviour["capabilities"] = {"checkpoint", "restore", "hold", "call", "drain"};
  FakeDaemon daemon(behaviour, {"--drain-timeout", "50ms"});
  daemon.increment(4);
  daemon.edit({{"next", 1}});
  CHECK(daemon.wait_generation(2)["last_reload"]["verdict"] == "ok");
  CHECK(daemon.count() == 4);
}

TEST_CASE("dead end: new code that dies right after go is restarted with the state of the cut") {
  FakeDaemon daemon(Json::object(), {"--checkpoint-interval", kRareSnapshots});
  daemon.increment(4);
  daemon.edit(behaviour_at("after_go", "die", {2}));
  const Json worker = daemon.wait_generation(3);
  CHECK(worker["last_exit"]["signal"] == SIGABRT);
  CHECK(worker["last_exit"]["generation"] == 2);
  CHECK(worker["restarts"] == 1);
  CHECK(daemon.count() == 4);
}

TEST_CASE("dead end: a start whose go is never answered is tried again, with the state") {
  for (const char* what : {"die", "hang"}) {
    CAPTURE(what);
    FakeDaemon daemon(behaviour_at("at_go", what, {2}), {"--checkpoint-interval", kRareSnapshots});
    daemon.increment(4);
    daemon.ask("checkpoint");
    daemon.kill_worker();
    CHECK(daemon.wait_generation(3)["state"] == "ready");
    CHECK(daemon.count() == 4);
    CHECK(daemon.wait_workers(1));
  }
}

}  // namespace
}  // namespace zeroth
