// Does the checker of the protocol have teeth? Each fault of the fake worker must be found by the rule it breaks.

#include <doctest/doctest.h>

#include "common/json.h"
#include "tests/support/run_process.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

ProcessResult conformance_of(const Json& behaviour) {
  const TempDir dir;
  return run_process(
      {built("zeroth-worker"), "conformance", "--", built("fake_worker"), dir.write("behaviour.json", dump(behaviour))},
      {}, "", Milliseconds(120'000));
}

TEST_CASE("conformance: a worker that follows the protocol holds every rule") {
  const ProcessResult result = conformance_of({{"beat_ms", 20}});
  CHECK_MESSAGE(result.exit_code == 0, result.out);
  CHECK(result.out.find("FAIL") == std::string::npos);
  CHECK(result.out.find(" 0 failed, 0 skipped\n") != std::string::npos);
}

TEST_CASE("conformance: each broken rule is found") {
  struct Broken {
    Json behaviour;
    const char* rule;
  };
  const Broken all[] = {
      {{{"faults", {"wrong_pid"}}}, "hello first"},
      {{{"faults", {"two_hellos"}}}, "loaded"},
      {{{"faults", {"beats_before_go"}}, {"beat_ms", 20}}, "silent before go"},
      {{{"faults", {"beats_while_held"}}, {"beat_ms", 20}}, "hold"},
      {{{"faults", {"answers_while_held"}}}, "hold"},
      {{{"faults", {"no_emergency_file"}}}, "channel ends after go"},
      {{{"faults", {"changes_state"}}}, "restore"},
      {{{"faults", {"state_and_unchanged"}}}, "checkpoint"},
      {{{"at", {{"at_call", "twice"}}}}, "call"},
      {{{"at", {{"at_stop", "exit 7"}}}}, "stop"},
      {{{"faults", {"mute_before_go"}}}, "state before go"},
      {{{"at", {{"at_reexec", "error"}}}}, "reexec"},
      {{{"at", {{"in_restore", "error"}}}}, "restore null"},
      {{{"at", {{"before_loaded", "garbage"}}}}, "loaded"},
      {{{"at", {{"before_hello", "exit 3"}}}}, "hello first"},
  };
  for (const Broken& broken : all) {
    CAPTURE(broken.rule);
    const ProcessResult result = conformance_of(broken.behaviour);
    CHECK(result.exit_code == 1);
    CHECK_MESSAGE(result.out.find(std::string("FAIL  ") + broken.rule + " — ") != std::string::npos, result.out);
  }
}

TEST_CASE("conformance: a worker without hold is checked as far as it goes") {
  const ProcessResult result = conformance_of({{"capabilities", {"checkpoint", "restore", "call"}}, {"beat_ms", 20}});
  CHECK_MESSAGE(result.exit_code == 0, result.out);
  CHECK(result.out.find("skip  hold — ") != std::string::npos);
}

TEST_CASE("conformance: a command that cannot be run, and none at all") {
  const ProcessResult missing = run_process({built("zeroth-worker"), "conformance", "--", "/nowhere/worker", "x"});
  CHECK(missing.exit_code == 127);
  CHECK(missing.err == "zeroth-worker conformance: cannot run /nowhere/worker: No such file or directory\n");
  CHECK(run_process({built("zeroth-worker"), "conformance"}).exit_code == 2);
  CHECK(run_process({built("zeroth-worker"), "conformance", "--"}).exit_code == 2);
  CHECK(run_process({built("zeroth-worker"), "conformance", "--nonsense", "--", "true"}).exit_code == 2);
}

TEST_CASE("conformance: the rules can be read") {
  const ProcessResult result = run_process({built("zeroth-worker"), "conformance", "--demands"});
  CHECK(result.exit_code == 0);
  CHECK(result.out.find("hello first") == 0);
}

}  // namespace
}  // namespace zeroth
