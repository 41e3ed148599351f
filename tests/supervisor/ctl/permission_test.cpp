// zerothctl where it may not ask: another user's instance is not "not running", it is said whose it is.

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "common/control_protocol.h"
#include "common/exit_codes.h"
#include "tests/support/fake_control.h"
#include "tests/support/run_process.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

// An instance of ours, and zerothctl run by somebody who is neither us nor root.
struct Stranger {
  Stranger() {
    std::filesystem::copy_file(built("zerothctl"), dir.path("zerothctl"));
    open(dir.path());
    open(dir.path("zerothctl"));
  }
  static void open(const std::string& path) { REQUIRE(::chmod(path.c_str(), 0777) == 0); }
  ProcessResult ctl(const std::vector<std::string>& words, const std::string& runtime_dir = "") const {
    std::vector<std::string> all = {"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"};
    all.push_back(dir.path("zerothctl"));
    all.insert(all.end(), words.begin(), words.end());
    return run_process(all, {{"HOME", dir.path("none")},
                             {"XDG_RUNTIME_DIR", dir.path("r")},
                             {"XDG_STATE_HOME", dir.path("s")},
                             {"ZEROTH_RUNTIME_DIR", runtime_dir}});
  }
  void check_denied(const std::string& barrier) const {
    const std::string why = "permission denied: " + barrier + " belongs to root (uid 0)";
    for (const auto& words : std::vector<std::vector<std::string>>{{"ping"}, {"-n", "greeting", "stop"}, {"observe"}}) {
      const ProcessResult result = ctl(words);
      CAPTURE(result.err);
      CHECK(result.exit_code == kExitPermission);
      CHECK(says(result.err, why));
      CHECK(result.out == "");
    }
    CHECK(ctl({"ping"}, runtime).exit_code == kExitPermission);
    const ProcessResult status = ctl({"--json", "status"});
    CHECK(status.exit_code == kExitPermission);
    CHECK(says(status.out, why));
    CHECK(says(ctl({"status"}).out, why));
  }

  TempDir dir;
  std::string root = dir.path("r/zeroth"), runtime = root + "/greeting";
  FakeControl control{runtime, FakeControl::running("/p/greeting.zero")};
};

}  // namespace

TEST_CASE("zerothctl: another user's instance is 77 with its owner, wherever the way is barred") {
  if (::geteuid() != 0) {
    MESSAGE("skipped: only root can become another user");
    return;
  }
  const Stranger stranger;
  stranger.open(stranger.dir.path("r"));
  stranger.check_denied(stranger.root);
  stranger.open(stranger.root);
  stranger.check_denied(stranger.runtime);
  stranger.open(stranger.runtime);
  const std::string socket = control_socket_path(stranger.runtime);
  REQUIRE(::chmod(socket.c_str(), 0600) == 0);
  stranger.check_denied(socket);
  stranger.open(socket);
  CHECK(stranger.ctl({"ping"}).exit_code == kExitOk);
  CHECK(stranger.ctl({"-n", "other", "ping"}).exit_code == kExitNotRunning);
}

TEST_CASE("zerothctl: a supervisor that turns us away is 77 with its word") {
  const TempDir dir;
  const FakeControl control(dir.path("run"), [](const Request& request) {
    return encode_refusal(request.id,
                          {ErrorCode::Unauthorized, "this socket belongs to alice (uid 1000)", "", nullptr});
  });
  for (const char* verb : {"ping", "status"}) {
    const ProcessResult result = run_process({built("zerothctl"), verb}, {{"ZEROTH_RUNTIME_DIR", dir.path("run")}});
    CHECK(result.exit_code == kExitPermission);
    CHECK(says(result.out + result.err, "belongs to alice (uid 1000)"));
  }
}

}  // namespace zeroth
