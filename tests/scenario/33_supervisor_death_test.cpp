// kill -9 of the supervisor in each step of a reload: whoever was live saves itself, everybody ends, and the next start
// goes on with all that was counted and one worker.

#include "tests/scenario/fake.h"

namespace zeroth {
namespace {

using namespace scenario;

struct Step {
  const char* name;
  const char* point;  // where the reload is when the supervisor dies
  int generation;     // whose point it is: 1 is the old one, 2 the new one
};

constexpr Step kSteps[] = {
    {"the new code has not said hello", "before_hello", 2},
    {"the new code has not said loaded", "before_loaded", 2},
    {"the old generation is asked for its cut", "at_cut", 1},
    {"the old generation is held", "while_held", 1},
    {"the new generation restores", "in_restore", 2},
    {"the new generation is not ready yet", "before_ready", 2},
    {"go is on its way", "at_go", 2},
    {"the new generation is live", "after_go", 2},
    {"the old generation is told to stop", "at_stop", 1},
};

}  // namespace

TEST_CASE("supervisor death: in each step of a reload the next start goes on, with one worker") {
  for (const Step& step : kSteps) {
    CAPTURE(step.name);
    // At the point the worker says so and dawdles, long enough for the supervisor to be killed meanwhile.
    const Json dawdle = Json::array({"touch reached", "late 400"});
    const Json usual = {{"ignore_term", true}};
    Json there = behaviour_at(step.point, dawdle, {step.generation});
    there.update(usual);
    FakeDaemon daemon(step.generation == 1 ? there : usual, {"--checkpoint-interval", "10s"});
    daemon.increment(4);
    const std::uint64_t before = daemon.generation();
    REQUIRE(before == 1);
    Json edited = step.generation == 2 ? there : usual;
    edited["next"] = 1;
    daemon.edit(edited);
    wait_for_mark(daemon.beside("reached"));
    daemon.kill_supervisor();
    daemon.restart();
    CHECK(daemon.count() == 4);
    CHECK(daemon.generation() > before);
    CHECK(daemon.wait_workers(1));
  }
}

}  // namespace zeroth
