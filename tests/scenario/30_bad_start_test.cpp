// New code that dies, hangs or talks nonsense before go: the old generation goes on with the same pid and state, and
// everybody who asks is told why.

#include "tests/scenario/fake.h"

namespace zeroth {
namespace {

using namespace scenario;

struct BadStart {
  const char* point;
  const char* action;
  const char* verdict;
  const char* reason;  // part of it
};

// Waits until the reason has been told where people look.
void check_told(FakeDaemon& daemon, const Json& receipt, const std::string& reason) {
  CHECK(contains(receipt["reason"], reason));
  const Json newest = daemon.ask("generations")["generations"][0];
  CHECK(newest["verdict"] == receipt["verdict"]);
  CHECK(newest["reason"] == receipt["reason"]);
  CHECK(newest["to"] == receipt["to"]);
  INFO(daemon.err());
  CHECK(contains(daemon.err(), reason));
  CHECK(daemon.logs(reason));
}

void check_goes_on(const BadStart& bad, std::vector<std::string> options = {}) {
  const std::string what = std::string(bad.point) + ": " + bad.action;
  CAPTURE(what);
  FakeDaemon daemon(Json::object(), std::move(options));
  daemon.increment(7);
  const pid_t pid = daemon.worker_pid();
  EventStream told = daemon.events({"rejected", "reload"});

  daemon.edit(behaviour_at(bad.point, bad.action));
  const bool rejected = std::string(bad.verdict) == "rejected";
  const Json event =
      told.wait_for(rejected ? "rejected" : "reload", [&](const Json& data) { return data["verdict"] == bad.verdict; });
  const Json worker = daemon.worker();
  CHECK(worker["last_reload"]["verdict"] == bad.verdict);
  CHECK(worker["last_reload"]["from"] == 1);
  CHECK(worker["last_reload"]["to"] == 2);
  CHECK(worker["state"] == "ready");
  CHECK(worker["generation"] == 1);
  CHECK(worker["pid"] == pid);
  CHECK(worker["restarts"] == 0);
  check_told(daemon, worker["last_reload"], bad.reason);
  CHECK(daemon.count() == 7);
  daemon.increment(1);
  // It is not tried again by itself.
  CHECK(!told.next("reload", nullptr, Milliseconds(300)));
  CHECK(daemon.ask("generations")["generations"][0]["to"] == 2);

  daemon.edit({{"good", true}});
  CHECK(daemon.wait_generation(3)["last_reload"]["verdict"] == "ok");
  daemon.wait_until([](const Json& status) { return status["rejected"].is_null(); });
  CHECK(daemon.count() == 8);
  CHECK(wait_reaped(pid));
}

TEST_CASE("bad start: new code that dies before it is loaded is rejected") {
  check_goes_on({"before_hello", "die", "rejected", "SIGABRT"});
  check_goes_on({"before_hello", "exit 3", "rejected", "code 3"});
  check_goes_on({"before_loaded", "die", "rejected", "SIGABRT"});
  check_goes_on({"before_loaded", "exit 0", "rejected", "code 0"});
}

TEST_CASE("bad start: new code that hangs before it is loaded is rejected in time") {
  check_goes_on({"before_hello", "hang", "rejected", "no hello within 500 ms"}, {"--start-timeout", "500ms"});
  check_goes_on({"before_loaded", "hang", "rejected", "not loaded within 500 ms"}, {"--start-timeout", "500ms"});
}

TEST_CASE("bad start: new code that does not speak the protocol is rejected") {
  check_goes_on({"before_hello", "garbage", "rejected", "not a message on the channel"});
  check_goes_on({"before_loaded", "garbage", "rejected", "not a message on the channel"});
  check_goes_on({"before_loaded", "long_line", "rejected", "longer than 1 MiB"});
}

TEST_CASE("bad start: new code that refuses the state is abandoned and the old goes on") {
  check_goes_on({"in_restore", "error", "abandoned", "restore: the fake refuses restore"});
}

TEST_CASE("bad start: new code that dies with the state in hand is abandoned and the old goes on") {
  check_goes_on({"in_restore", "die", "abandoned", "SIGABRT"});
  check_goes_on({"before_ready", "die", "abandoned", "SIGABRT"});
  check_goes_on({"before_ready", "garbage", "abandoned", "not a message on the channel"});
}

TEST_CASE("bad start: new code that hangs in restore is abandoned after 10 s") {
  check_goes_on({"in_restore", "hang", "abandoned", "restore: no answer within 10 s"});
}

TEST_CASE("bad start: new code that hangs before ready is abandoned after 10 s") {
  check_goes_on({"before_ready", "hang", "abandoned", "not ready within 10 s"});
}

TEST_CASE("bad start: calls wait while new code hangs in restore, and are answered once by the old") {
  FakeDaemon daemon;
  daemon.increment(1);
  EventStream told = daemon.events({"worker-state"});
  daemon.edit(behaviour_at("in_restore", {"wait decided", "error"}));
  told.wait_for("worker-state", [](const Json& data) { return data["state"] == "reloading"; });
  auto waiting = ControlClient::connect(daemon.socket());
  REQUIRE(waiting);
  const std::int64_t id = waiting->send("inc", {{"by", 10}});
  CHECK(!waiting->receive(Milliseconds(100)));
  daemon.touch("decided");
  const auto answer = waiting->receive();
  REQUIRE(answer);
  const auto* response = std::get_if<Response>(&*answer);
  REQUIRE(response != nullptr);
  CHECK(response->id == Json(id));
  REQUIRE(response->outcome);
  CHECK((*response->outcome)["count"] == 11);
  CHECK(daemon.count() == 11);
}

TEST_CASE("bad start: a flood of logs neither stops a reload nor loses the state") {
  FakeDaemon daemon;
  daemon.increment(5);
  daemon.edit(behaviour_at("before_loaded", "flood"));
  CHECK(daemon.wait_generation(2)["last_reload"]["verdict"] == "ok");
  CHECK(daemon.count() == 5);
}

}  // namespace
}  // namespace zeroth
