// Workers that live but are not well: what is asked of them, and what becomes of them and of their state.

#include <unistd.h>

#include "common/exit_codes.h"
#include "tests/scenario/fake.h"
#include "tests/scenario/scenario.h"

namespace zeroth::scenario {
namespace {

// Well as long as the file is there.
std::vector<std::string> while_there(const std::string& file, std::vector<std::string> more = {}) {
  more.insert(more.begin(), {"--health", "exec:test -f " + file, "--health-interval", "100ms", "--health-failures", "2",
                             "--checkpoint-interval", kRareSnapshots});
  return more;
}

// That it is unwell again, but was replaced too lately.
bool says_it_waits(const Json& log) {
  return says(log["message"].get<std::string>(), "is not replaced before");
}

// The one that replaced an unhealthy one is live.
Json wait_cured(Daemon& daemon, std::uint64_t generation) {
  return daemon.wait_until([&](const Json& worker) {
    return worker["generation"] == generation && worker["state"] == "ready" &&
           worker["last_reload"]["to"] == generation && worker["last_reload"]["verdict"] == "ok";
  });
}

}  // namespace

TEST_CASE("health: an unhealthy worker is replaced with its state, which loses nothing, and it is told what failed") {
  const TempDir place;
  const std::string marker = place.write("marker", "");
  FakeDaemon daemon(Json::object(), while_there(marker));
  CHECK(daemon.worker()["health"]["check"] == "exec:test -f " + marker);
  daemon.increment(5);
  EventStream told = daemon.events({"log", "reload"});
  ::unlink(marker.c_str());
  const Json unhealthy = told.wait_for("log", [](const Json& log) { return log.contains("unhealthy"); });
  CHECK(says(unhealthy["message"], "generation 1 is unhealthy: exec:test -f " + marker + " failed 2 times in a row"));
  const Json receipt = told.wait_for("reload");
  CHECK(receipt["cause"] == "unhealthy");
  CHECK(receipt["mode"] == "overlap");
  CHECK(receipt["verdict"] == "ok");
  CHECK(says(receipt["reason"], "exited with code 1"));
  CHECK(daemon.count() == 5);
  CHECK(says(daemon.err(), "generation 1 is unhealthy: "));
  CHECK(says(daemon.err(), "generation 2  unhealthy   kept 1"));
  // It is no better: no storm of reloads follows.
  const Json waits = told.wait_for("log", says_it_waits);
  CHECK(waits["generation"] == daemon.generation());
  place.write("marker", "");
  told.wait_for("log", [](const Json& log) { return says(log["message"].get<std::string>(), "succeeds again"); });
  CHECK(daemon.worker()["health"]["last_error"].is_null());
  CHECK(daemon.worker()["restarts"] == 0);
  const ProcessResult shown = run_process({built("zerothctl"), "status"}, daemon.environment());
  CHECK(says(shown.out, "exec:test -f " + marker + ": no failure"));
  CHECK(daemon.terminate() == kExitOk);
}

TEST_CASE("health: an unhealthy worker that does not give its state is killed and goes on from the newest snapshot") {
  const TempDir place;
  const std::string marker = place.write("marker", "");
  FakeDaemon daemon(behaviour_at("at_cut", {"touch asked", "hang"}, {1}), while_there(marker));
  daemon.increment(3);
  daemon.ask("checkpoint");
  ::unlink(marker.c_str());
  wait_for_mark(daemon.beside("asked"));
  place.write("marker", "");
  const Json worker = daemon.wait_until(
      [](const Json& now) { return now["state"] == "ready" && now["generation"].get<int>() > 2; }, 2 * kPatience);
  CHECK(worker["last_reload"]["operation"] == "crash-restart");
  CHECK(worker["last_reload"]["cause"] == "unhealthy");
  CHECK(daemon.count() == 3);
}

TEST_CASE("health: a worker that need not beat but is to is killed when it is silent, and restarted for that") {
  FakeDaemon daemon(behaviour_at("at_call", {"touch hung", "hang"}, {1}),
                    {"--health", "heartbeat", "--health-interval", "200ms", "--checkpoint-interval", kRareSnapshots});
  daemon.ask("checkpoint");
  EventStream told = daemon.events({"crash"});
  CHECK_FALSE(daemon.call("get"));
  const Json crash = told.wait_for("crash");
  CHECK(says(crash["meaning"], "unhealthy: no beat for 200 ms, no answer to a ping"));
  const Json worker = wait_cured(daemon, 2);
  CHECK(worker["last_reload"]["cause"] == "unhealthy");
  CHECK(worker["restarts"] == 1);
  CHECK(daemon.count() == 0);
}

TEST_CASE("health: one that answers pings need not beat") {
  FakeDaemon daemon(Json::object(), {"--health", "heartbeat", "--health-interval", "50ms"});
  const Json before = daemon.worker()["pid"];
  for (int i = 0; i < 20; ++i) daemon.increment(1);
  daemon.edit({{"next", 1}});
  daemon.wait_generation(2);
  CHECK(daemon.count() == 20);
  CHECK(daemon.worker()["restarts"] == 0);
}

TEST_CASE("health: a web server that does not speak is ready when it answers, and started anew when it answers 503") {
  const TempDir place;
  const std::string script =
      "import http.server, os, sys\n"
      "class Server(http.server.BaseHTTPRequestHandler):\n"
      "    def do_GET(self):\n"
      "        self.send_response(503 if os.path.exists('" +
      place.path("sick") +
      "') else 204)\n"
      "        self.end_headers()\n"
      "    def log_message(self, *args): pass\n"
      "server = http.server.HTTPServer(('127.0.0.1', 0), Server, bind_and_activate=False)\n"
      "import socket\n"
      "server.socket = socket.socket(fileno=int(3))\n"
      "server.serve_forever()\n";
  // The port is lent, so it accepts before anybody answers: only an answer counts.
  Daemon first(script, {"--listen", "0", Daemon::kMuteCommand, "python3"}, "job");
  const std::string address = first.worker()["listen"][0];
  CHECK(first.terminate() == kExitOk);
  Daemon daemon(script,
                {"--listen", address, "--health", "http://" + address + "/well", "--health-interval", "100ms",
                 "--health-failures", "2", Daemon::kMuteCommand, "python3"},
                "job");
  const pid_t pid = daemon.worker_pid();
  EventStream told = daemon.events({"log", "reload"});
  place.write("sick", "");
  told.wait_for("log", [](const Json& log) { return log.contains("unhealthy"); });
  ::unlink(place.path("sick").c_str());
  const Json receipt = told.wait_for("reload");
  CHECK(receipt["cause"] == "unhealthy");
  CHECK(says(receipt["reason"], "http://" + address + "/well failed 2 times in a row: status 503"));
  CHECK(wait_reaped(pid));
  CHECK(wait_cured(daemon, 2)["pid"] != pid);
}

TEST_CASE("health: with --restart never an unhealthy worker is ended and stays so") {
  const TempDir place;
  const std::string marker = place.write("marker", "");
  FakeDaemon daemon(Json::object(), while_there(marker, {"--restart", "never"}));
  ::unlink(marker.c_str());
  const Json failed = daemon.wait_until([](const Json& worker) { return worker["state"] == "failed"; });
  CHECK(says(failed["last_failure"]["summary"], "unhealthy: exec:test -f " + marker));
}

TEST_CASE("health: code that is broken on disk is not what replaces an unhealthy Zero program") {
  const TempDir place;
  const std::string marker = place.write("marker", "");
  Daemon daemon(kDay, while_there(marker));
  EventStream told = daemon.events({"rejected", "reload"});
  daemon.write(kBroken);
  told.wait_for("rejected");
  ::unlink(marker.c_str());
  const Json receipt = told.wait_for("reload", is_receipt);
  CHECK(receipt["verdict"] == "ok");
  CHECK(receipt["cause"] == "unhealthy");
  CHECK(receipt["code"] == false);
  CHECK(daemon.worker()["rejected"].is_object());
}

TEST_CASE("memory: a worker that takes too much is replaced with its state, and says how much it took") {
  FakeDaemon daemon(behaviour_at("at_call", "grow 120", {1}),
                    {"--max-memory", "100MB", "--checkpoint-interval", kRareSnapshots});
  EventStream told = daemon.events({"reload"});
  daemon.increment(7);
  const Json receipt = told.wait_for("reload");
  CHECK(receipt["cause"] == "unhealthy");
  CHECK(receipt["verdict"] == "ok");
  CHECK(says(receipt["reason"], " MB of memory, more than --max-memory 100 MB"));
  CHECK(daemon.count() == 7);
  CHECK(daemon.generation() == 2);
}

TEST_CASE("memory: one whose state does not fit is not reloaded again and again") {
  FakeDaemon daemon(behaviour_at("after_go", "grow 120"), {"--max-memory", "100MB"});
  EventStream told = daemon.events({"log"});
  const Json waits = told.wait_for("log", says_it_waits);
  CHECK(waits["generation"] == daemon.generation());
  CHECK(daemon.worker()["state"] == "ready");
}

TEST_CASE("health: what is no way to ask is said") {
  const auto refused = [](std::vector<std::string> options) {
    options.insert(options.begin(), built("zeroth-supervise"));
    const ProcessResult result = run_process(options);
    CHECK(result.exit_code == kExitUsage);
    return result.err;
  };
  CHECK(says(refused({"--health-interval", "1s", "--", "true"}), "--health-interval says how --health is asked"));
  CHECK(says(refused({"--health", "tcp:1", "--health-timeout", "0", "--", "true"}), "no time"));
  CHECK(says(refused({"--health", "tcp:1", "--health-failures", "0", "--", "true"}), "--health-failures"));
  CHECK(says(refused({"--max-memory", "-5", "--", "true"}), "negative"));
}

}  // namespace zeroth::scenario
