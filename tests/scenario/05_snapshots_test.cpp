// Snapshots that cannot be used, and instances that meet.

#include <filesystem>
#include <fstream>
#include <thread>

#include "common/snapshot_format.h"
#include "tests/scenario/scenario.h"
#include "tests/support/run_process.h"

namespace zeroth::scenario {
namespace {

namespace fs = std::filesystem;

// A stopped supervisor whose snapshots hold LEFT's divergence as 1, 2 and so on above the start; newest last.
struct Stopped {
  Daemon daemon{kApart, kByHand};
  double start = 0;
  std::vector<std::string> files;

  explicit Stopped(int snapshots = 3) {
    start = daemon.ask("state", {{"name", "LEFT"}})["divergence"];
    for (int i = 0; i < snapshots; ++i) {
      daemon.ask("state", {{"name", "LEFT"}, {"inject", 1}});
      daemon.ask("checkpoint");
    }
    daemon.kill_supervisor();
    CHECK(daemon.wait_no_workers());
    drop_emergency_files();
    files = daemon.snapshot_files();
    REQUIRE(files.size() == static_cast<std::size_t>(snapshots));
  }

  void drop_emergency_files() const {
    for (const auto& entry : fs::directory_iterator(daemon.worker_dir())) {
      if (entry.path().filename().string().starts_with("emergency-")) fs::remove(entry.path());
    }
  }

  double injected() { return daemon.ask("state", {{"name", "LEFT"}})["divergence"].get<double>() - start; }
};

TEST_CASE("snapshots: a damaged newest one is set aside, named, and the next older one is used") {
  Stopped stopped;
  const std::string newest = stopped.files.back();
  SUBCASE("a byte of the state changed") {
    std::fstream file(newest, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096 + 20);
    file.put('\x7f');
  }
  SUBCASE("truncated in the state") {
    fs::resize_file(newest, 4096 + 10);
  }
  SUBCASE("truncated in the header") {
    fs::resize_file(newest, 100);
  }
  SUBCASE("empty") {
    fs::resize_file(newest, 0);
  }
  SUBCASE("an older one under its name") {
    fs::remove(newest);
    fs::copy_file(stopped.files.front(), newest);
  }
  SUBCASE("something else") {
    std::ofstream(newest, std::ios::trunc) << "{\"hello\": 1}\n";
  }
  stopped.daemon.restart();
  CHECK(stopped.injected() == 2);
  const Json rejected = stopped.daemon.worker()["snapshot"]["rejected"];
  REQUIRE(rejected.size() == 1);
  CHECK(rejected[0]["file"].get<std::string>().find(fs::path(newest).filename().string()) != std::string::npos);
  CHECK(!rejected[0]["reason"].get<std::string>().empty());
  CHECK(!fs::exists(newest));
  CHECK(fs::exists(newest + ".corrupt"));
  CHECK(stopped.daemon.logs("snapshot-rejected"));
  // What comes next is numbered above it.
  stopped.daemon.ask("state", {{"name", "LEFT"}, {"inject", 1}});
  CHECK(stopped.daemon.ask("checkpoint")["sequence"] > stopped.files.size());
}

TEST_CASE("snapshots: all damaged, nothing is started afresh and each is named") {
  Stopped stopped(2);
  for (const std::string& file : stopped.files) fs::resize_file(file, 4096 + 10);
  stopped.daemon.launch();
  stopped.daemon.wait_answering();
  const Json worker = stopped.daemon.wait_until([](const Json& now) { return now["state"] == "failed"; });
  CHECK(worker["pid"].is_null());
  CHECK(worker["snapshot"]["rejected"].size() == 2);
  for (const std::string& file : stopped.files) {
    const std::string summary = worker["last_failure"]["summary"];
    CHECK(summary.find(fs::path(file).filename().string()) != std::string::npos);
  }
  CHECK(stopped.daemon.terminate() == 0);
  stopped.daemon.launch();
  stopped.daemon.wait_answering();
  stopped.daemon.wait_until([](const Json& now) { return now["state"] == "failed"; });
  // Only on request it begins anew.
  CHECK(stopped.daemon.terminate() == 0);
  stopped.daemon.restart(std::vector<std::string>{"--rate", "0.001", "--fresh"});
  CHECK(stopped.injected() == 0);
}

TEST_CASE("snapshots: another program's newest one is refused, named, and the next older one is used") {
  Stopped stopped(2);
  Stopped other(4);
  const std::string foreign =
      stopped.daemon.worker_dir() + "/snapshots/" + fs::path(other.files.back()).filename().string();
  fs::copy_file(other.files.back(), foreign);
  stopped.daemon.restart();
  CHECK(stopped.injected() == 2);
  CHECK(fs::exists(foreign));
  CHECK(stopped.daemon.logs("snapshot-rejected"));
  CHECK(stopped.daemon.logs(fs::path(foreign).filename().string()));
}

TEST_CASE("instances: the same program a second time is refused, naming the first, which goes on") {
  Daemon daemon(kDay);
  const Json before = daemon.worker();
  const ProcessResult second = run_process({built("zeroth-supervise"), daemon.program()}, daemon.environment());
  CHECK(second.exit_code == 69);
  CHECK(second.err.find("greeting runs already, pid " + std::to_string(daemon.pid())) != std::string::npos);
  CHECK(daemon.worker()["pid"] == before["pid"]);
  CHECK(daemon.worker()["generation"] == before["generation"]);
  CHECK(edit(daemon, kApart)["generation"] == 2);
}

TEST_CASE("instances: a program of the same file name elsewhere has a state of its own") {
  Daemon daemon(kDay);
  const std::uint64_t seen = daemon.iteration();
  fs::create_directory(daemon.dir().path("elsewhere"));
  const std::string program = daemon.dir().write("elsewhere/greeting.zero", kApart);
  ProcessResult ended;
  std::thread other([&] { ended = run_process({built("zeroth-supervise"), program}, daemon.environment()); });
  std::optional<ControlClient> client;
  std::string folder;
  const MonotonicTime until = monotonic_now() + kPatience;
  while (!client && monotonic_now() < until) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(daemon.dir().path("run/zeroth"), error)) {
      const std::string name = entry.path().filename().string();
      if (!name.starts_with("greeting-")) continue;
      folder = name;
      if (auto made = ControlClient::connect(entry.path().string() + "/control.sock")) client = std::move(*made);
    }
  }
  const auto answer = client ? client->call("shutdown") : ControlClient::Outcome(tl::unexpected(Refusal{}));
  other.join();
  REQUIRE(answer);
  CHECK(ended.exit_code == 0);
  CHECK(folder.size() == std::string("greeting-").size() + 6);
  CHECK(fs::exists(daemon.dir().path("state/zeroth/" + folder + "/instance.json")));
  CHECK(daemon.iteration() >= seen);
  CHECK(daemon.worker()["restarts"] == 0);
}

}  // namespace
}  // namespace zeroth::scenario
