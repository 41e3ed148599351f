// Code that does not compile changes nothing but what is said about it.

#include "common/hash.h"
#include "tests/scenario/scenario.h"

namespace zeroth::scenario {
namespace {

TEST_CASE("rejected: the old generation goes on, and the reason stands everywhere") {
  Daemon daemon(kDay);
  const Json before = daemon.worker();
  EventStream events = daemon.events({"rejected", "reload"});
  daemon.write(kBroken);
  const Json receipt = events.wait_for("rejected");

  CHECK(receipt["verdict"] == "rejected");
  CHECK(receipt["from"] == before["generation"]);
  CHECK(receipt["to"] == before["generation"].get<int>() + 1);
  REQUIRE(receipt["diagnostics"].size() == 1);
  CHECK(receipt["diagnostics"][0]["line"] == 2);
  CHECK(receipt["diagnostics"][0]["column"] == 12);

  const Json now = daemon.worker();
  CHECK(now["pid"] == before["pid"]);
  CHECK(now["generation"] == before["generation"]);
  CHECK(now["state"] == "ready");
  CHECK(now["rejected"]["hash"] == xxh3_hex(kBroken));
  CHECK(now["rejected"]["diagnostics"] == receipt["diagnostics"]);
  CHECK(now["rejected"]["since_s"].get<double>() >= 0);
  CHECK(now["last_reload"]["verdict"] == "rejected");
  CHECK(daemon.ask("generations")["generations"][0]["verdict"] == "rejected");
  const std::uint64_t iteration = daemon.iteration();
  daemon.wait_until([&](const Json& worker) { return worker["beat"]["iteration"] > iteration + 5; });

  const std::string terminal = daemon.err();
  CHECK(terminal.find("generation 2 rejected, 1 goes on") != std::string::npos);
  CHECK(terminal.find("greeting.zero:2:12: error: unknown state 'WORLD'") != std::string::npos);
  CHECK(terminal.find("\n               ^~~~~\n") != std::string::npos);
  CHECK(daemon.logs("unknown state 'WORLD'"));
}

TEST_CASE("rejected: repaired to what runs, it says so and starts nothing") {
  Daemon daemon(kDay);
  const Json before = daemon.worker();
  EventStream events = daemon.events({"rejected", "reload"});
  daemon.write(kBroken);
  events.wait_for("rejected");
  daemon.write(kDay);
  const Json repaired = events.wait_for("reload", [](const Json& reload) { return reload.contains("repaired"); });
  CHECK(repaired["verdict"] == "unchanged");
  CHECK(daemon.worker()["rejected"].is_null());
  CHECK(daemon.worker()["pid"] == before["pid"]);
  CHECK(daemon.err().find("greeting.zero compiles again after") != std::string::npos);
}

TEST_CASE("rejected: repaired to something new, that becomes the next generation") {
  Daemon daemon(kDay);
  EventStream events = daemon.events({"rejected", "reload"});
  daemon.write(kBroken);
  events.wait_for("rejected");
  daemon.write(std::string(kDay) + "state NIGHT\n");
  CHECK(events.wait_for("reload", is_receipt)["to"] == 3);
  CHECK(daemon.worker()["rejected"].is_null());
}

TEST_CASE("rejected: the same broken content saved again is not tried again") {
  Daemon daemon(kDay);
  EventStream events = daemon.events({"rejected", "reload"});
  daemon.write(kBroken);
  events.wait_for("rejected");
  daemon.write_renamed(kBroken);
  events.wait_for("reload", [](const Json& receipt) { return receipt["verdict"] == "unchanged"; });
  CHECK(daemon.ask("generations")["total"] == 2);
}

TEST_CASE("rejected: reload on command answers with the diagnostics") {
  Daemon daemon(kDay, {"--no-watch"});
  daemon.write(kBroken);
  const Json receipt = daemon.ask("reload");
  CHECK(receipt["verdict"] == "rejected");
  CHECK(receipt["diagnostics"][0]["message"] == "unknown state 'WORLD'");
}

}  // namespace
}  // namespace zeroth::scenario
