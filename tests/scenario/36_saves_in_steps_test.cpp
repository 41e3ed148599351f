// A save in each step of a reload: the last content is live in the end, with all that was counted, and no more
// generations are made for it than one for each save.

#include <algorithm>

#include "common/hash.h"
#include "tests/scenario/fake.h"

namespace zeroth {
namespace {

using namespace scenario;

struct ReloadStep {
  const char* name;
  const char* point;  // where the reload is when the file is saved again
  int generation;     // whose point it is: 1 is the old one, 2 the new one
};

constexpr ReloadStep kReloadSteps[] = {
    {"the new code has not said hello", "before_hello", 2},
    {"the new code has not said loaded", "before_loaded", 2},
    {"the old generation is asked for its cut", "at_cut", 1},
    {"the new generation restores", "in_restore", 2},
    {"the new generation is not ready yet", "before_ready", 2},
    {"go is on its way", "at_go", 2},
    {"the new generation is live", "after_go", 2},
    {"the old generation is told to stop", "at_stop", 1},
};

TEST_CASE("saves in steps: whenever the file is saved again, its last content goes live with the state kept") {
  for (const ReloadStep& step : kReloadSteps) {
    CAPTURE(step.name);
    const Json pause = Json::array({"touch reached", "wait saved"});
    const Json there = behaviour_at(step.point, pause, {step.generation});
    FakeDaemon daemon(step.generation == 1 ? there : Json::object());
    daemon.increment(4);
    Json first = step.generation == 2 ? there : Json::object();
    first["content"] = "first";
    daemon.edit(first);
    wait_for_mark(daemon.beside("reached"));
    const Json last = {{"content", "last"}};
    daemon.edit(last);
    daemon.touch("saved");
    const std::string hash = xxh3_hex(dump(last));
    const Json worker = daemon.wait_until(
        [&](const Json& status) { return status["state"] == "ready" && status["program_hash"] == hash; });
    CHECK(daemon.count() == 4);
    CHECK(worker["rejected"].is_null());
    CHECK(worker["restarts"] == 0);
    CHECK(worker["generation"] <= 3);
  }
}

// In a watched folder the first save starts the new code; what follows while that loads has it started anew.
TEST_CASE("saves in steps: of files saved one after the other the last content goes live, with the state kept") {
  const TempDir folder;
  folder.write("other", "");
  FakeDaemon daemon(Json::object(), {"--watch", folder.path()});
  daemon.increment(4);
  for (int round = 0; round < 6; ++round) {
    const std::uint64_t before = daemon.generation();
    daemon.edit({{"content", round}});
    ::poll(nullptr, 0, 5 * round);
    folder.write("other", std::to_string(round));
    daemon.wait_generation(before + 1);
    daemon.wait_until([&](const Json& worker) {
      return worker["state"] == "ready" && daemon.ask("reload")["verdict"] == "unchanged";
    });
    const Json worker = daemon.worker();
    CHECK(worker["rejected"].is_null());
    CHECK(worker["restarts"] == 0);
    CHECK(worker["generation"] <= before + 3);  // the first save, the second while it is cut short, and all of it
    CHECK(daemon.count() == 4);
  }
}

TEST_CASE("saves in steps: code that fails while files are still being saved is not rejected") {
  const TempDir folder;
  folder.write("other", "");
  FakeDaemon daemon(Json::object(), {"--watch", folder.path()});
  daemon.increment(4);
  // Some saves within less than the files have to stand still; false if the machine was too slow for that.
  const auto save_on = [&](int round) {
    bool quick = true;
    for (int i = 0; i < 20; ++i) {
      const MonotonicTime began = monotonic_now();
      folder.write("other", std::to_string(round) + std::to_string(i));
      ::poll(nullptr, 0, 5);
      quick = quick && elapsed_ms(began, monotonic_now()) < 15;
    }
    return quick;
  };
  const auto rejections = [&] {
    const Json told = daemon.ask("generations")["generations"];
    return std::ranges::count_if(told, [](const Json& receipt) { return receipt["verdict"] == "rejected"; });
  };
  for (int round = 0; round < 5; ++round) {
    const std::uint64_t before = daemon.generation();
    const std::int64_t rejected_before = rejections();
    daemon.edit(behaviour_at("before_hello", "exit 3"));
    const bool quick = save_on(round);
    daemon.edit({{"content", round}});
    daemon.wait_until([&](const Json& worker) {
      return worker["state"] == "ready" && worker["generation"] > before && worker["rejected"].is_null();
    });
    if (quick) CHECK(rejections() == rejected_before);
    CHECK(daemon.count() == 4);
  }
}

TEST_CASE("saves in steps: one save in a watched folder is one generation, told once, also if it is rejected") {
  const TempDir folder;
  FakeDaemon daemon(Json::object(), {"--watch", folder.path()});
  EventStream told = daemon.events({"reload", "rejected"});
  daemon.edit({{"content", "one"}});
  CHECK(told.wait_for("reload")["verdict"] == "ok");
  daemon.edit(behaviour_at("before_hello", "exit 3"));
  const Json rejected = told.wait_for("rejected");
  CHECK(rejected["to"] == 3);
  CHECK(rejected["changed"] == Json::array({daemon.program()}));
  daemon.edit({{"content", "two"}});
  const Json ok = told.wait_for("reload", [](const Json&) { return true; });
  CHECK(ok["verdict"] == "ok");
  CHECK(ok["to"] == 4);
}

}  // namespace
}  // namespace zeroth
