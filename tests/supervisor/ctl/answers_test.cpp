// What zerothctl answers where nothing runs, of a worker's own commands, and of logs.

#include <doctest/doctest.h>

#include "common/exit_codes.h"
#include "common/json_reader.h"
#include "tests/support/fake_control.h"
#include "tests/support/run_process.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

struct OneHome {
  ProcessResult ctl(std::vector<std::string> words) const {
    words.insert(words.begin(), built("zerothctl"));
    return run_process(words, {{"HOME", dir.path()},
                               {"XDG_RUNTIME_DIR", dir.path("r")},
                               {"XDG_STATE_HOME", dir.path("s")},
                               {"ZEROTH_RUNTIME_DIR", ""}});
  }
  TempDir dir;
  std::string runtime = dir.path("r/zeroth/greeting");
};

}  // namespace

TEST_CASE("zerothctl: with --json, what does not run is told as status tells it, with the exit code of its own") {
  const OneHome home;
  const std::string status = home.ctl({"--json", "status"}).out;
  REQUIRE(parse_json(status)->value["state"] == "stopped");
  for (const char* verb :
       {"stop", "start", "restart", "checkpoint", "snapshots", "logs", "events", "observe", "state", "shutdown"}) {
    CAPTURE(verb);
    const ProcessResult result = home.ctl({"--json", verb});
    CHECK(result.exit_code == kExitNotRunning);
    CHECK(result.out == status);
    CHECK(says(result.err, "not running"));
  }
  const FakeControl odd(home.runtime, [](const Request& r) { return encode_result(r.id, {{"ok", true}}); });
  const ProcessResult result = home.ctl({"--json", "checkpoint"});
  CHECK(result.exit_code == kExitTaken);
  CHECK(parse_json(result.out)->value["state"] == "incompatible");
}

}  // namespace zeroth
