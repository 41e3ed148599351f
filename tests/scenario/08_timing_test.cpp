// Things that happen at the same time: stops during reloads, saves in a row, files that vanish and come back.

#include <unistd.h>

#include "common/hash.h"
#include "tests/scenario/scenario.h"

namespace zeroth::scenario {
namespace {

TEST_CASE("timing: SIGTERM while a reload is under way ends cleanly, and the next start goes on") {
  Daemon daemon(kDay, {"--rate", "1000"});
  for (int i = 0; i < 12; ++i) {
    CAPTURE(i);
    const std::uint64_t seen = daemon.iteration();
    EventStream events = daemon.events();
    daemon.write(std::string(kDay) + "# " + std::to_string(i) + "\n");
    // From at once to in the middle of the cut.
    if (i % 3 == 1) events.next("worker-state", nullptr, Milliseconds(i));
    if (i % 3 == 2) events.wait_for("worker-state", [](const Json& data) { return data["state"] == "reloading"; });
    CHECK_MESSAGE(daemon.terminate() == 0, daemon.err());
    CHECK(daemon.workers_running().empty());
    daemon.restart();
    const Json now = daemon.worker();
    CHECK(now["last_reload"]["iteration"] >= seen);
    CHECK(now["program_hash"] == xxh3_hex(daemon.read_program()));
    CHECK(now["last_reload"]["kept"]["count"] == 3);
  }
}

TEST_CASE("timing: of twenty saves in a second the last one is live in the end") {
  Daemon daemon(kDay, {"--rate", "1000"});
  const pid_t first = daemon.worker_pid();
  EventStream events = daemon.events({"reload"});
  std::string content;
  for (int i = 0; i < 20; ++i) {
    content = std::string(kDay) + "# save " + std::to_string(i) + "\n";
    i % 2 == 0 ? daemon.write(content) : daemon.write_renamed(content);
    // Until the next save something may happen or not.
    events.next("nothing", nullptr, Milliseconds(50));
  }
  const Json now = daemon.wait_until(
      [&](const Json& worker) { return worker["state"] == "ready" && worker["program_hash"] == xxh3_hex(content); });
  CHECK(now["pid"] != first);
  CHECK(now["restarts"] == 0);
  const Json generations = daemon.ask("generations");
  for (const Json& receipt : generations["generations"]) CHECK(receipt["verdict"] == "ok");
}

TEST_CASE("timing: of twenty saves at once the last one is live in the end") {
  Daemon daemon(kDay);
  std::string content;
  for (int i = 0; i < 20; ++i) {
    content = i % 4 == 3 ? std::string(kBroken) : std::string(kDay) + "# save " + std::to_string(i) + "\n";
    daemon.write(content);
  }
  content = std::string(kDay) + "# the last\n";
  daemon.write(content);
  daemon.wait_until([&](const Json& worker) {
    return worker["state"] == "ready" && worker["program_hash"] == xxh3_hex(content) && worker["rejected"].is_null();
  });
}

TEST_CASE("timing: a deleted program runs on, and is followed again when it is back") {
  Daemon daemon(kDay);
  const Json before = daemon.worker();
  EventStream events = daemon.events({"log", "reload"});
  REQUIRE(::unlink(daemon.program().c_str()) == 0);
  const Json told = events.wait_for("log");
  CHECK(told["message"].get<std::string>().find("greeting.zero") != std::string::npos);
  CHECK(daemon.worker()["pid"] == before["pid"]);
  CHECK(daemon.worker()["state"] == "ready");

  daemon.write(std::string(kDay) + "state NIGHT\n");
  const Json receipt = events.wait_for("reload", is_receipt);
  CHECK(receipt["verdict"] == "ok");
  CHECK(receipt["added"]["count"] == 1);
  CHECK(wait_reaped(before["pid"].get<pid_t>()));
}

TEST_CASE("timing: a crash while the program is missing restarts the kept copy") {
  Daemon daemon(kDay);
  const std::uint64_t before = daemon.generation();
  REQUIRE(::unlink(daemon.program().c_str()) == 0);
  daemon.kill_worker();
  const Json after = daemon.wait_generation(before + 1);
  CHECK(after["program_hash"] == xxh3_hex(kDay));
  CHECK(daemon.ask("state-list")["total"] == 3);
}

TEST_CASE("timing: two edits, the second before the first has gone live, end in the second") {
  Daemon daemon(kDay);
  EventStream events = daemon.events({"worker-state"});
  for (int i = 0; i < 5; ++i) {
    daemon.write(std::string(kDay) + "# first " + std::to_string(i) + "\n");
    events.wait_for("worker-state", [](const Json& data) { return data["state"] == "reloading"; });
    const std::string second = std::string(kDay) + "# second " + std::to_string(i) + "\n";
    daemon.write(second);
    daemon.wait_until(
        [&](const Json& worker) { return worker["state"] == "ready" && worker["program_hash"] == xxh3_hex(second); });
  }
}

}  // namespace
}  // namespace zeroth::scenario
