// Somebody kills the worker, the supervisor, or both are stopped as they should be.

#include <csignal>
#include <random>

#include "tests/scenario/scenario.h"

namespace zeroth::scenario {
namespace {

constexpr double kRate = 1000;  // iterations a second

TEST_CASE("kill -9 of the worker: back from the newest snapshot, within the loss window") {
  Daemon daemon(kDay, {"--rate", "1000", "--checkpoint-interval", "200ms"});
  EventStream checkpoints = daemon.events({"checkpoint"});
  for (int i = 0; i < 2; ++i) checkpoints.wait_for("checkpoint");
  EventStream events = daemon.events({"reload", "crash"});
  const Json before = daemon.worker();
  const pid_t killed = daemon.kill_worker();
  CHECK(events.wait_for("crash")["signal"] == SIGKILL);
  const Json receipt = events.wait_for("reload", is_receipt);
  CHECK(receipt["operation"] == "crash-restart");
  CHECK(receipt["cause"] == "crash");
  CHECK(receipt["verdict"] == "ok");
  // A beat is at most a tenth of a second old; as much again for the machine.
  const double window = before["loss_window_s"].get<double>() + 0.2;
  const double seen = before["beat"]["iteration"].get<double>();
  CHECK(receipt["iteration"].get<double>() >= seen - window * kRate);
  CHECK(receipt["iteration"].get<double>() > 0);
  CHECK(receipt["iteration_lost"].get<double>() <= (window + 0.2) * kRate);
  const Json after = daemon.wait_generation(before["generation"].get<std::uint64_t>() + 1);
  CHECK(after["pid"] != killed);
  CHECK(after["restarts"] == 1);
  CHECK(after["last_exit"]["signal"] == SIGKILL);
  CHECK(wait_reaped(killed));
  CHECK(daemon.wait_workers(1));
}

TEST_CASE("kill -9 of the worker: what was checkpointed before is not lost") {
  Daemon daemon(kApart, kStandingStill);
  daemon.ask("state", {{"name", "RIGHT"}, {"inject", 0.625}});
  daemon.ask("checkpoint");
  const std::uint64_t before = daemon.generation();
  daemon.kill_worker();
  daemon.wait_generation(before + 1);
  CHECK(daemon.ask("state", {{"name", "RIGHT"}})["divergence"] == 0.625);
}

TEST_CASE("kill -9 of the supervisor: the worker saves itself, and the next start loses nothing") {
  Daemon daemon(kApart, {"--rate", "0.001", "--checkpoint-interval", "0"});
  daemon.ask("state", {{"name", "RIGHT"}, {"inject", 0.375}});
  daemon.ask("observe");
  const pid_t worker = daemon.worker_pid();
  const std::uint64_t generation = daemon.generation();
  daemon.kill_supervisor();
  CHECK(wait_for_end(worker));
  CHECK(daemon.wait_no_workers());
  daemon.restart();
  const Json after = daemon.worker();
  CHECK(after["generation"] == generation + 1);
  CHECK(after["last_reload"]["restored_generation"] == generation);
  CHECK(daemon.ask("state", {{"name", "RIGHT"}})["divergence"] == 0.375);
  CHECK(daemon.ask("history")["total"] == 1);
  const Json newest = daemon.ask("snapshots")["snapshots"][0];
  CHECK(newest["cause"] == "emergency");
  CHECK(daemon.wait_workers(1));
}

TEST_CASE("kill -9 of the supervisor at any moment of a stream of reloads: the next start goes on") {
  constexpr int kRounds = 20;
  std::mt19937 random(7);
  Daemon daemon(kDay, {"--rate", "1000"});
  std::uint64_t seen = 0, generation = 0;
  for (int round = 0; round < kRounds; ++round) {
    CAPTURE(round);
    EventStream stream = daemon.events({"reload", "beat"});
    daemon.write(std::string(kDay) + "# " + std::to_string(round) + "\n");
    // Follows what happens for a while of any length; the last thing told is the least that must be kept.
    const MonotonicTime until = monotonic_now() + Milliseconds(random() % 25);
    while (monotonic_now() < until) {
      const auto left = std::chrono::ceil<Milliseconds>(until - monotonic_now());
      const auto receipt = stream.next("reload", is_receipt, left);
      if (receipt && (*receipt)["iteration"].is_number())
        seen = std::max(seen, (*receipt)["iteration"].get<std::uint64_t>());
      if (receipt) daemon.write(std::string(kDay) + "# " + std::to_string(round) + " again\n");
    }
    daemon.kill_supervisor();
    if (round % 2 == 0) CHECK(daemon.wait_no_workers());
    daemon.restart();
    const Json after = daemon.worker();
    CHECK(after["last_reload"]["iteration"] >= seen);
    CHECK(after["generation"] > generation);
    CHECK(after["last_reload"]["operation"] == "start");
    CHECK(after["snapshot"]["rejected"].empty());
    CHECK(daemon.workers_running() == std::vector<pid_t>{after["pid"].get<pid_t>()});
    seen = after["last_reload"]["iteration"];
    generation = after["generation"];
  }
}

TEST_CASE("SIGTERM: exit 0, nothing is left, and the next start goes on at the same iteration") {
  Daemon daemon(kDay, {"--rate", "1000"});
  for (int i = 0; i < 3; ++i) {
    CAPTURE(i);
    const std::uint64_t seen = daemon.iteration();
    const pid_t worker = daemon.worker_pid();
    CHECK(daemon.terminate() == 0);
    CHECK(!process_runs(worker));
    CHECK(daemon.workers_running().empty());
    CHECK(::access(daemon.socket().c_str(), F_OK) != 0);
    daemon.restart();
    const Json receipt = daemon.worker()["last_reload"];
    const Json stopped = daemon.ask("snapshot", {{"sequence", receipt["snapshot"]}});
    CHECK(stopped["cause"] == "stop");
    CHECK(stopped["state"]["iteration"] == receipt["iteration"]);
    CHECK(receipt["iteration"] >= seen);
    CHECK(receipt["kept"]["count"] == 3);
  }
}

TEST_CASE("shutdown: answered with the snapshot it made, then everything ends") {
  Daemon daemon(kDay);
  const Json answer = daemon.ask("shutdown");
  CHECK(answer["verdict"] == "ok");
  CHECK(answer["snapshot"].is_number());
  CHECK(daemon.wait_exit() == 0);
}

}  // namespace
}  // namespace zeroth::scenario
