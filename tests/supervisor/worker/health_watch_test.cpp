#include "supervisor/worker/health_watch.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <vector>

#include "tests/support/run_until.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

// Well as long as the file `well` is there.
struct Patient {
  Loop loop;
  TempDir dir;
  std::vector<std::string> unhealthy, changes;
  HealthWatch watch{loop, [this](const std::string& reason) { unhealthy.push_back(reason); },
                    [this](const std::string& told) { changes.push_back(told); }};

  void begin(int failures, Milliseconds starts_for = Milliseconds(0)) {
    watch.begin({*parse_health("exec:test -f well"), Milliseconds(10), failures, monotonic_now() + starts_for},
                {{"PATH=/usr/bin:/bin"}, dir.path()});
  }
};

}  // namespace

TEST_CASE("health watch: so many failures in a row are told, again and again, and what was asked and answered") {
  Patient patient;
  patient.begin(3);
  REQUIRE(run_until(patient.loop, [&] { return patient.unhealthy.size() == 2; }));
  CHECK(patient.unhealthy[0] == "exec:test -f well failed 3 times in a row: exited with code 1");
  CHECK(patient.unhealthy[1] == patient.unhealthy[0]);
  CHECK(patient.changes == std::vector<std::string>{"exec:test -f well failed: exited with code 1"});
  CHECK(patient.watch.status()["last_error"] == "exited with code 1");
}

TEST_CASE("health watch: a success in between begins the count anew, and is told after a failure") {
  Patient patient;
  patient.begin(1'000'000);
  REQUIRE(run_until(patient.loop, [&] { return patient.watch.status()["failures"] >= 2; }));
  patient.dir.write("well", "");
  REQUIRE(run_until(patient.loop, [&] { return patient.changes.size() == 2; }));
  CHECK(patient.changes[1].starts_with("exec:test -f well succeeds again, after "));
  CHECK(patient.watch.status()["failures"] == 0);
  CHECK(patient.watch.status()["last_error"].is_null());
  CHECK(patient.unhealthy.empty());
}

TEST_CASE("health watch: what is starting is not well yet, and that does not count until it was well, or should be") {
  Patient patient;
  SUBCASE("it was well once") {
    patient.begin(1, std::chrono::hours(1));
    REQUIRE(run_until(patient.loop, [&] { return !patient.watch.status()["last_error"].is_null(); }));
    CHECK(patient.watch.status()["failures"] == 0);
    const std::string marker = patient.dir.write("well", "");
    REQUIRE(run_until(patient.loop, [&] { return patient.watch.status()["last_error"].is_null(); }));
    CHECK(patient.unhealthy.empty());
    ::unlink(marker.c_str());
    REQUIRE(run_until(patient.loop, [&] { return !patient.unhealthy.empty(); }));
  }
  SUBCASE("it should be by now") {
    patient.begin(1, Milliseconds(50));
    REQUIRE(run_until(patient.loop, [&] { return !patient.unhealthy.empty(); }));
  }
}

TEST_CASE("health watch: paused it asks nobody, and forgets") {
  Patient patient;
  patient.begin(2);
  REQUIRE(run_until(patient.loop, [&] { return patient.unhealthy.size() == 1; }));
  patient.watch.pause();
  CHECK(patient.watch.status().is_null());
  bool later = false;
  Timer timer(patient.loop);
  timer.start(Milliseconds(100), [&] { later = true; });
  REQUIRE(run_until(patient.loop, [&] { return later; }));
  CHECK(patient.unhealthy.size() == 1);
  patient.begin(2);
  CHECK(patient.watch.status()["failures"] == 0);
}

}  // namespace zeroth
