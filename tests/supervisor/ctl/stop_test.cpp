// zerothctl stop where no supervisor answers: what it signals, and what it leaves alone.

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/exit_codes.h"
#include "common/files.h"
#include "common/json_reader.h"
#include "supervisor/process/process_identity.h"
#include "tests/support/fake_control.h"
#include "tests/support/run_process.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

// A process that ignores SIGTERM.
class Deaf {
 public:
  Deaf() {
    const auto before = ::signal(SIGTERM, SIG_IGN);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      for (;;) ::pause();
    }
    ::signal(SIGTERM, before);
    REQUIRE(pid_ > 0);
  }
  ~Deaf() {
    ::kill(pid_, SIGKILL);
    if (!reaped_) ::waitpid(pid_, nullptr, 0);
  }
  pid_t pid() const { return pid_; }
  bool runs() const { return read_proc_stat(pid_)->state != 'Z'; }
  // The signal that ended it.
  int wait_end() {
    int status = 0;
    REQUIRE(::waitpid(pid_, &status, 0) == pid_);
    reaped_ = true;
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  }

 private:
  pid_t pid_ = -1;
  bool reaped_ = false;
};

struct SilentInstance {
  explicit SilentInstance(pid_t pid) {
    REQUIRE(write_file_atomically(dir.path("run/pid"), std::to_string(pid) + "\n"));
  }

  void record(const ProcessIdentity& process, const std::string& runtime_dir) {
    REQUIRE(make_folders(dir.path("state")));
    dir.write("state/lock", "");
    Json json = {{"identity", "/p"}, {"runtime", runtime_dir}, {"pid_file", dir.path("run/pid")}};
    json.update(to_json(process));
    dir.write("state/instance.json", dump(json));
  }
  ProcessResult ctl(std::vector<std::string> words) const {
    words.insert(words.begin(), built("zerothctl"));
    return run_process(words, {{"HOME", dir.path()},
                               {"XDG_STATE_HOME", ""},
                               {"ZEROTH_RUNTIME_DIR", dir.path("run")},
                               {"ZEROTH_STATE_DIR", dir.path("state")}});
  }
  bool has_pid_file() const { return ::access(dir.path("run/pid").c_str(), F_OK) == 0; }

  TempDir dir;
  FakeControl fake{dir.path("run"), [](const Request&) { return std::string(); }};
};

}  // namespace

TEST_CASE("zerothctl stop: one that does not answer is ended only with --force, by SIGTERM, then SIGKILL") {
  Deaf deaf;
  SilentInstance instance(deaf.pid());
  instance.record(*identity_of(deaf.pid()), instance.dir.path("run"));
  const ProcessResult refused = instance.ctl({"--json", "stop"});
  CHECK(refused.exit_code == kExitTaken);
  CHECK(says(refused.err, "unresponsive"));
  CHECK(says(refused.err, "zerothctl stop --force"));
  CHECK(parse_json(refused.out)->value["state"] == "unresponsive");
  CHECK(instance.ctl({"stop", "shop", "--force"}).exit_code == kExitTaken);
  CHECK(deaf.runs());
  const ProcessResult done = instance.ctl({"--timeout", "0.2", "stop", "--force"});
  CHECK(done.exit_code == kExitOk);
  CHECK(done.out == "Stopped\n");
  CHECK(says(done.err, "sent SIGTERM to pid " + std::to_string(deaf.pid())));
  CHECK(says(done.err, "sent SIGKILL"));
  CHECK(says(done.err, instance.dir.path("run/pid")));
  CHECK_FALSE(instance.has_pid_file());
  CHECK(deaf.wait_end() == SIGKILL);
}

TEST_CASE("zerothctl stop: a process that is not for certain the recorded one is never signalled") {
  Deaf deaf;
  SilentInstance instance(deaf.pid());
  ProcessIdentity process = *identity_of(deaf.pid());
  SUBCASE("no record") {
    const ProcessResult result = instance.ctl({"stop", "--force"});
    CHECK(result.exit_code == kExitTaken);
    CHECK(says(result.err, "is not signalled"));
  }
  SUBCASE("a record of another runtime folder") {
    REQUIRE(make_folders(instance.dir.path("other")));
    instance.record(process, instance.dir.path("other"));
    CHECK(says(instance.ctl({"stop", "--force"}).err, "is not signalled"));
  }
  SUBCASE("a pid that was used again") {
    process.start_time += 1;
    instance.record(process, instance.dir.path("run"));
    CHECK(instance.ctl({"stop", "--force"}).exit_code == kExitTaken);
  }
  SUBCASE("an earlier boot") {
    process.boot_id = "other";
    instance.record(process, instance.dir.path("run"));
    CHECK(instance.ctl({"stop", "--force"}).exit_code == kExitTaken);
  }
  CHECK(deaf.runs());
  CHECK(instance.has_pid_file());
}

TEST_CASE("zerothctl stop: a zombie is gone") {
  Deaf deaf;
  SilentInstance instance(deaf.pid());
  instance.record(*identity_of(deaf.pid()), instance.dir.path("run"));
  REQUIRE(::kill(deaf.pid(), SIGKILL) == 0);
  siginfo_t ended{};
  REQUIRE(::waitid(P_PID, static_cast<id_t>(deaf.pid()), &ended, WEXITED | WNOWAIT) == 0);
  CHECK_FALSE(says(instance.ctl({"status"}).out, "unresponsive"));
  REQUIRE(::unlink(instance.dir.path("run/control.sock").c_str()) == 0);
  const ProcessResult status = instance.ctl({"--json", "status"});
  CHECK(status.exit_code == kExitNotRunning);
  CHECK(parse_json(status.out)->value["state"] == "stale");
  const ProcessResult stop = instance.ctl({"--json", "stop"});
  CHECK(stop.exit_code == kExitNotRunning);
  CHECK(says(stop.err, "removed what a dead instance left: " + instance.dir.path("run/pid")));
  CHECK(parse_json(stop.out)->value["state"] == "stopped");
  CHECK_FALSE(instance.has_pid_file());
}

}  // namespace zeroth
