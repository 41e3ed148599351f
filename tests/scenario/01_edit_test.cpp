// An edit becomes a new process that goes on with the old memory.

#include "tests/scenario/scenario.h"

namespace zeroth::scenario {
namespace {

const char* const kReceiptFields[] = {"operation", "worker",      "from",          "to",      "restored_generation",
                                      "mode",      "cause",       "changed",       "verdict", "reason",
                                      "kept",      "added",       "removed",       "renamed", "warnings",
                                      "iteration", "code",        "closed",        "env",     "ms",
                                      "at",        "diagnostics", "iteration_lost"};

void check_complete(const Json& receipt) {
  for (const char* field : kReceiptFields) {
    CAPTURE(field);
    CHECK(receipt.contains(field));
  }
  for (const char* step : {"settle", "start", "checkpoint", "restore", "go", "total", "pause"}) {
    CAPTURE(step);
    CHECK(receipt["ms"].contains(step));
  }
  CHECK(receipt["verdict"] == "ok");
  CHECK(receipt["operation"] == "reload");
  CHECK(receipt["mode"] == "overlap");
}

TEST_CASE("edit: a new process goes on with the observed memory") {
  Daemon daemon(kDay);
  for (int i = 0; i < 2; ++i) CHECK(daemon.ask("observe")["recorded"] == true);
  const Json before = daemon.worker();
  const pid_t old_pid = before["pid"];

  EventStream reloads = daemon.events({"reload"});
  daemon.write(std::string(kDay) + "state NIGHT\n");
  const Json receipt = reloads.wait_for("reload", is_receipt);

  check_complete(receipt);
  CHECK(receipt["cause"] == "edit");
  CHECK(receipt["changed"] == Json::array({daemon.program()}));
  CHECK(receipt["from"] == before["generation"]);
  CHECK(receipt["to"] == before["generation"].get<int>() + 1);
  CHECK(receipt["restored_generation"] == receipt["from"]);
  CHECK(receipt["kept"]["count"] == 3);
  CHECK(receipt["added"]["names"] == Json::array({"NIGHT"}));
  CHECK(receipt["code"] == true);

  const Json after = daemon.worker();
  CHECK(after["generation"] == receipt["to"]);
  CHECK(after["pid"] != old_pid);
  CHECK(after["beat"]["iteration"] >= before["beat"]["iteration"]);
  CHECK(after["last_reload"]["to"] == receipt["to"]);
  CHECK(wait_reaped(old_pid));
  CHECK(daemon.ask("history")["total"] == 2);
  CHECK(daemon.ask("generations")["generations"][0]["to"] == receipt["to"]);
}

TEST_CASE("edit: kept divergences are bit-identical over the cut") {
  Daemon daemon(kDay, kStandingStill);
  daemon.ask("state", {{"name", "NOON"}, {"inject", 0.1}});
  daemon.ask("state", {{"name", "DUSK"}, {"inject", 1.0 / 3}});
  daemon.ask("observe");

  SUBCASE("adding a state and changing epsilon") {
    const Json after =
        edit(daemon, "state DAWN\nstate NOON\nstate DUSK\nstate NIGHT\nobserve convergence epsilon 0.002\n");
    const Json cut = state_of(daemon, after["last_reload"]["snapshot"]);
    const Json now = living_state(daemon);
    CHECK(now["iteration"] == cut["iteration"]);
    CHECK(now["epsilon"] == 0.002);
    for (const char* name : {"DAWN", "NOON", "DUSK"}) CHECK(divergence(now, name) == divergence(cut, name));
    CHECK(divergence(now, "NIGHT") == 0);
    CHECK(divergence(now, "DUSK") == 1.0 / 3);
    CHECK(now["observations"] == cut["observations"]);
    CHECK(now["pressure"] == cut["pressure"]);
    CHECK(after["last_reload"]["warnings"].size() == 1);  // epsilon changed by a factor of 10 or more
  }
  SUBCASE("renaming with was") {
    const Json after =
        edit(daemon, "state DAWN\nstate MIDDAY was NOON\nstate DUSK\nobserve convergence epsilon 0.0001\n");
    const Json cut = state_of(daemon, after["last_reload"]["snapshot"]);
    const Json now = living_state(daemon);
    CHECK(divergence(now, "MIDDAY") == divergence(cut, "NOON"));
    CHECK(divergence(now, "MIDDAY") == 0.1);
    CHECK(after["last_reload"]["renamed"]["count"] == 1);
    CHECK(after["last_reload"]["kept"]["count"] == 2);
    CHECK(after["last_reload"]["removed"]["count"] == 0);
  }
  SUBCASE("a removed state is parked and comes back as it was") {
    const Json without = edit(daemon, "state DAWN\nstate NOON\nobserve convergence epsilon 0.0001\n");
    CHECK(without["last_reload"]["removed"]["names"] == Json::array({"DUSK"}));
    CHECK(without["last_reload"]["warnings"].size() >= 1);
    const Json back = edit(daemon, kDay);
    const Json cut = state_of(daemon, back["last_reload"]["snapshot"]);
    CHECK(cut["parked"][0]["name"] == "DUSK");
    const Json now = living_state(daemon);
    CHECK(divergence(now, "DUSK") == 1.0 / 3);
    CHECK(divergence(now, "NOON") == 0.1);
    CHECK(now["parked"].empty());
    CHECK(back["last_reload"]["added"]["count"] == 1);
  }
}

TEST_CASE("edit: over many edits the iteration never goes back and every generation is the next") {
  Daemon daemon(kDay, {"--rate", "1000"});
  EventStream all = daemon.events({"beat", "reload"});
  std::uint64_t generation = daemon.generation(), iteration = 0;
  for (int i = 0; i < 10; ++i) {
    CAPTURE(i);
    daemon.write(std::string(kDay) + "# edit " + std::to_string(i) + "\n");
    // Beats between here and the reload are the old generation's, and grow.
    const Json receipt = all.wait_for("reload", is_receipt);
    CHECK(receipt["to"] == ++generation);
    CHECK(receipt["iteration"] >= iteration);
    iteration = receipt["iteration"];
    const Json beat = all.wait_for("beat", [&](const Json& data) { return data["generation"] == generation; });
    CHECK(beat["iteration"] >= iteration);
    iteration = beat["iteration"];
  }
}

TEST_CASE("edit: saving by rename and saving in place are both one reload") {
  Daemon daemon(kDay, kStandingStill);
  EventStream reloads = daemon.events({"reload"});
  daemon.write_renamed(std::string(kDay) + "# renamed into place\n");
  CHECK(reloads.wait_for("reload", is_receipt)["to"] == 2);
  daemon.write(std::string(kDay) + "# written in place\n");
  CHECK(reloads.wait_for("reload", is_receipt)["to"] == 3);
  CHECK(daemon.ask("generations")["total"] == 3);
}

TEST_CASE("edit: saving the same content again reloads nothing") {
  Daemon daemon(kDay);
  const Json before = daemon.worker();
  EventStream reloads = daemon.events({"reload"});
  daemon.write_renamed(kDay);
  CHECK(reloads.wait_for("reload")["verdict"] == "unchanged");
  CHECK(daemon.worker()["pid"] == before["pid"]);
  CHECK(daemon.worker()["generation"] == before["generation"]);
}

}  // namespace
}  // namespace zeroth::scenario
