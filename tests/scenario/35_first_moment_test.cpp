// The first moment of a supervisor: what stops it, what it refuses, and that it leaves nothing behind.

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "common/exit_codes.h"
#include "common/snapshot_format.h"
#include "common/unique_fd.h"
#include "tests/scenario/fake.h"
#include "tests/scenario/scenario.h"
#include "tests/support/run_process.h"

namespace zeroth::scenario {
namespace {

namespace fs = std::filesystem;

// A program and folders for it that no supervisor has used yet.
struct Unused {
  TempDir dir;
  std::string program = dir.write("greeting.zero", kDay);

  ProcessResult run(std::vector<std::string> options = {}) const {
    options.insert(options.begin(), built("zeroth-supervise"));
    options.push_back(program);
    return run_process(options, {{"ZEROTH_STATE_DIR", dir.path("state")},
                                 {"ZEROTH_RUNTIME_DIR", dir.path("run")},
                                 {"ZEROTH_CONTROL_PORT", "off"}});
  }
};

// The temporary files below the folder, one a line.
std::string temporaries(const std::string& folder) {
  std::string found;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().extension() == ".tmp") found += entry.path().string() + "\n";
  }
  return found;
}

}  // namespace

TEST_CASE("first moment: a SIGTERM before anything runs is obeyed when it can be, and leaves nothing behind") {
  Daemon daemon(kDay);
  REQUIRE(daemon.terminate() == kExitOk);
  const std::string runtime = daemon.dir().path("run/zeroth");
  fs::remove_all(runtime);
  // Held as if the predecessor were just dying: the start waits for it, and has made its folders before that.
  UniqueFd lock(::open((daemon.state_dir() + "/lock").c_str(), O_RDWR | O_CLOEXEC));
  REQUIRE(::flock(lock.get(), LOCK_EX | LOCK_NB) == 0);
  daemon.launch();
  const MonotonicTime until = monotonic_now() + kPatience;
  while (!fs::exists(runtime + "/greeting")) {
    REQUIRE(monotonic_now() < until);
    ::poll(nullptr, 0, 1);
  }
  ::kill(daemon.pid(), SIGTERM);
  lock.reset();
  CHECK(daemon.wait_exit() == kExitOk);
  CHECK(temporaries(daemon.dir().path()) == "");
  CHECK_FALSE(fs::exists(runtime + "/greeting/pid"));
}

TEST_CASE("first moment: temporary files of a start that was killed are cleared away by the next") {
  Daemon daemon(kDay);
  REQUIRE(daemon.terminate() == kExitOk);
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  REQUIRE(::waitpid(child, nullptr, 0) == child);
  const std::string end = "." + std::to_string(child) + ".tmp";
  for (const std::string& path :
       {daemon.state_dir() + "/.instance.json" + end, daemon.worker_dir() + "/.quarantine.json" + end,
        daemon.dir().path("run/zeroth/greeting/.pid" + end), daemon.dir().path("code/.greeting.z" + end)}) {
    std::ofstream(path) << "1\n";
    REQUIRE(fs::exists(path));
  }
  daemon.restart();
  CHECK(daemon.terminate() == kExitOk);
  CHECK(temporaries(daemon.dir().path()) == "");
}

TEST_CASE("first moment: root does not run a program of another user, and says who may") {
  if (::geteuid() != 0) {
    MESSAGE("skipped, needs root");
    return;
  }
  const Unused at;
  REQUIRE(::chown(at.program.c_str(), 65'534, 65'534) == 0);
  const ProcessResult result = at.run();
  CHECK(result.exit_code == kExitPermission);
  CHECK(says(result.err, at.program + ": belongs to "));
  CHECK(says(result.err, "chown root " + at.program));
  CHECK(says(result.err, "zeroth-supervise " + at.program));
  CHECK_FALSE(fs::exists(at.dir.path("state")));
}

TEST_CASE("first moment: a pid file in a folder that is not there is named") {
  const Unused at;
  const std::string pid = at.dir.path("missing/here.pid");
  const ProcessResult result = at.run({"--pid-file", pid});
  CHECK(result.exit_code == kExitNotFound);
  CHECK(says(result.err, "pid file " + pid + ": no such folder"));
  CHECK_FALSE(says(result.err, ".tmp"));
}

TEST_CASE("first moment: a full disk ends with 1 and says where to make room") {
  const Unused at;
  const std::string state = at.dir.path("state");
  REQUIRE(fs::create_directory(state));
  if (::mount("tmpfs", state.c_str(), "tmpfs", 0, "size=64k,mode=0700") != 0) {
    MESSAGE("skipped, mount: ", std::strerror(errno));
    return;
  }
  std::ofstream(state + "/filler") << std::string(1 << 20, 'x');
  const ProcessResult result = at.run();
  ::umount2(state.c_str(), MNT_DETACH);
  CHECK(result.exit_code == kExitFailed);
  CHECK(says(result.err, "No space left on device; free space on the file system of " + state));
}

TEST_CASE("first moment: a snapshot that its own code refuses is set aside under its name") {
  FakeDaemon daemon(behaviour_at("in_restore", "error", {2}), {"--checkpoint-interval", "0"});
  daemon.increment(4);
  daemon.ask("checkpoint");
  daemon.increment(1);
  const Json newest = daemon.ask("checkpoint")["sequence"];
  daemon.kill_worker();
  daemon.wait_generation(3);
  CHECK(daemon.count() == 4);
  CHECK(says(daemon.err(), "snapshot set aside: " + snapshot_name(newest.get<std::uint64_t>()) + ": "));
}

}  // namespace zeroth::scenario
