// Files of the supervisor's own that are taken away, damaged or left behind.

#include <sys/stat.h>

#include <filesystem>

#include "tests/scenario/scenario.h"
#include "tests/support/run_process.h"

namespace zeroth::scenario {
namespace {

// So many states that they travel by file.
std::string large_program() {
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += "state S" + std::to_string(i) + "\n";
  return text + "observe convergence epsilon 0.0001\n";
}

std::size_t restore_links(const Daemon& daemon) {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(daemon.worker_dir() + "/snapshots"))
    count += entry.path().filename().string().starts_with(".restore-");
  return count;
}

}  // namespace

TEST_CASE("lost files: a crash restart leaves no second name of the snapshot it read") {
  Daemon daemon(large_program(), {"--rate", "100"});
  for (std::uint64_t generation = 2; generation <= 4; ++generation) {
    daemon.ask("checkpoint");
    EventStream events = daemon.events({"reload"});
    daemon.kill_worker();
    CHECK(events.wait_for("reload", is_receipt)["kept"]["count"] == 20'000);
    daemon.wait_generation(generation);
  }
  CHECK(daemon.terminate() == 0);
  CHECK(restore_links(daemon) == 0);
}

TEST_CASE("lost files: the kept copies of the program are taken away, and a crash is survived all the same") {
  Daemon daemon(kDay, {"--rate", "100"});
  std::filesystem::remove_all(daemon.worker_dir() + "/programs");
  daemon.kill_worker();
  const Json after = daemon.wait_generation(2);
  CHECK(after["restarts"] == 1);
  CHECK(after["last_reload"]["verdict"] == "ok");
}

TEST_CASE("lost files: what is no file among the emergency files is passed over") {
  Daemon daemon(kDay, {"--rate", "100"});
  CHECK(daemon.terminate() == 0);
  REQUIRE(::mkfifo((daemon.worker_dir() + "/emergency-100.json").c_str(), 0600) == 0);
  daemon.restart();
  CHECK(daemon.worker()["state"] == "ready");
}

TEST_CASE("lost files: a rejection is never told after its repair") {
  Daemon daemon(kDay, {"--rate", "100", "--checkpoint-interval", "100ms"});
  daemon.write_renamed(kBroken);
  daemon.wait_until([](const Json& worker) { return worker["last_reload"]["verdict"] == "rejected"; });
  daemon.write_renamed(kDay);
  daemon.wait_until([](const Json& worker) { return worker["rejected"].is_null(); });
  EventStream checkpoints = daemon.events({"checkpoint"});
  for (int i = 0; i < 3; ++i) checkpoints.wait_for("checkpoint");  // longer than a rejection is held back
  const std::string told = daemon.err();
  const std::size_t rejected = told.find("rejected, 1 goes on");
  const std::size_t again = told.find("compiles again");
  CHECK((rejected == std::string::npos) == (again == std::string::npos));
  if (again != std::string::npos) CHECK(rejected < again);
}

TEST_CASE("lost files: numbers that are none are a usage error") {
  for (const char* option : {"--rate", "--halflife"}) {
    const ProcessResult result = run_process({built("zeroth-supervise"), option, "nan", "x.zero"});
    CHECK(result.exit_code == 2);
    CHECK(says(result.err, option));
  }
}

}  // namespace zeroth::scenario
