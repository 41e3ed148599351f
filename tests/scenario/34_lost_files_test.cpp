// Files of ours that vanish or are damaged, under a running supervisor and between two: numbers never repeat, nothing
// that was counted is lost, and never two run on one state.

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "common/exit_codes.h"
#include "common/files.h"
#include "common/unique_fd.h"
#include "tests/scenario/fake.h"
#include "tests/scenario/scenario.h"
#include "tests/support/run_process.h"

namespace zeroth::scenario {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kSavedByHand = {"--rate", "0.001", "--checkpoint-interval", "0"};

double left_of(Daemon& daemon) {
  return daemon.ask("state", {{"name", "LEFT"}})["divergence"];
}

// An event `log` with this in its message.
std::string wait_log(EventStream& events, std::string_view part) {
  const auto tells = [part](const Json& log) { return says(log["message"].get<std::string>(), part); };
  return events.wait_for("log", tells)["message"];
}

}  // namespace

TEST_CASE("lost files: without the log of generations numbers go on, and a state saved in an emergency is kept") {
  Daemon daemon(kApart, kSavedByHand);
  CHECK(edit(daemon, kApartWider)["generation"] == 2);
  CHECK(edit(daemon, kApart)["generation"] == 3);
  REQUIRE(daemon.terminate() == kExitOk);
  const std::string log = daemon.worker_dir() + "/generations.jsonl";
  SUBCASE("removed") {
    REQUIRE(fs::remove(log));
  }
  SUBCASE("damaged") {
    std::ofstream(log, std::ios::trunc) << "no\nlog\n";
  }
  const bool damaged = fs::exists(log);
  daemon.restart();
  CHECK(daemon.generation() == 4);
  const std::string passed_over = "generations.jsonl: 2 lines cannot be read and are passed over";
  CHECK((damaged ? daemon.logs(passed_over) : !says(daemon.log(), passed_over)));
  const double before = left_of(daemon);
  daemon.ask("state", {{"name", "LEFT"}, {"inject", 5}});
  daemon.kill_supervisor();
  REQUIRE(daemon.wait_no_workers());
  daemon.restart();
  CHECK(daemon.generation() == 5);
  CHECK(left_of(daemon) == before + 5);
  for (const auto& entry : fs::directory_iterator(daemon.worker_dir()))
    CHECK_MESSAGE(entry.path().extension() != ".stale", entry.path().string());
}

TEST_CASE("lost files: a state folder removed under a supervisor is locked anew, and it is found there again") {
  Daemon daemon(kDay);
  EventStream events = daemon.events({"log"});
  // Away at once, so that nothing is made in it while it is removed.
  fs::rename(daemon.state_dir(), daemon.dir().path("gone"));
  CHECK(says(wait_log(events, "was removed while we run"), daemon.state_dir()));
  CHECK(says(read_file(daemon.state_dir() + "/instance.json").value_or(""), std::to_string(daemon.pid())));
  CHECK(fs::is_directory(daemon.worker_dir() + "/own"));
  // What is not saved again by itself: which generation lives, and its code.
  const std::string programs = daemon.worker_dir() + "/programs";
  daemon.wait_until([&](const Json& worker) {
    const std::string log = read_file(daemon.worker_dir() + "/generations.jsonl").value_or("");
    const bool code = fs::is_directory(programs) && !fs::is_empty(programs);
    return worker["snapshot"]["count"] > 0 && code && says(log, R"("event":"live")");
  });
  auto environment = daemon.environment();
  REQUIRE(::mkdir(daemon.dir().path("elsewhere").c_str(), 0700) == 0);
  for (auto& [name, value] : environment) {
    if (name == "XDG_RUNTIME_DIR") value = daemon.dir().path("elsewhere");
  }
  const ProcessResult second = run_process({built("zeroth-supervise"), daemon.program()}, environment);
  CHECK(second.exit_code == kExitTaken);
  CHECK(says(second.err, "runs already, pid " + std::to_string(daemon.pid())));
  CHECK(edit(daemon, kApart)["generation"] == 2);
  CHECK(says(read_file(daemon.worker_dir() + "/generations.jsonl").value_or(""), R"("generation":2)"));
  CHECK(daemon.terminate() == kExitOk);
}

TEST_CASE("lost files: the socket for workers that lost their descriptor is made again") {
  FakeDaemon daemon;
  EventStream events = daemon.events({"log"});
  const std::string socket = fs::path(daemon.socket()).parent_path() / "worker.sock";
  REQUIRE(fs::remove(socket));
  // The folders are looked at now and then, and as soon as a snapshot cannot be saved.
  fs::rename(daemon.state_dir(), daemon.dir().path("gone"));
  daemon.increment(1);
  (void)daemon.call("checkpoint");
  wait_log(events, "was removed while we run");
  CHECK(fs::is_socket(socket));
}

TEST_CASE("lost files: a state folder that became another's in the meantime is left to it") {
  Daemon daemon(kDay);
  const std::string others = daemon.dir().path("others");
  REQUIRE(::mkdir(others.c_str(), 0700) == 0);
  const UniqueFd lock(::open((others + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  REQUIRE(::flock(lock.get(), LOCK_EX | LOCK_NB) == 0);
  REQUIRE(::renameat2(AT_FDCWD, others.c_str(), AT_FDCWD, daemon.state_dir().c_str(), RENAME_EXCHANGE) == 0);
  CHECK(daemon.wait_exit() == kExitTaken);
  CHECK(says(daemon.err(), daemon.state_dir() + " was removed while we ran, and greeting runs already"));
  CHECK(daemon.wait_no_workers());
  CHECK(daemon.snapshot_files().empty());
}

}  // namespace zeroth::scenario
