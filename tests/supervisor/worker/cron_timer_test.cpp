#include "supervisor/worker/cron_timer.h"

#include <doctest/doctest.h>

namespace zeroth {
namespace {

// A clock that stands until it is set.
struct SetClock {
  Loop loop;
  WallTime now = *parse_rfc3339("2026-01-31T10:02:30.000Z");
  int calls = 0;
  CronTimer timer{loop, [this] { ++calls; }, [this] { return now; }};

  void set(const std::string& time) {
    now = *parse_rfc3339(time);
    timer.look();
  }
};

}  // namespace

TEST_CASE("cron timer: calls once for each time that has come, and once for several that were missed") {
  SetClock clock;
  clock.timer.begin(*CronTable::parse("* * * * *"));
  CHECK(*clock.timer.next() == *parse_rfc3339("2026-01-31T10:03:00.000Z"));
  clock.set("2026-01-31T10:02:59.999Z");
  CHECK(clock.calls == 0);
  clock.set("2026-01-31T10:03:00.000Z");
  clock.set("2026-01-31T10:03:00.001Z");
  CHECK(clock.calls == 1);
  clock.set("2026-02-07T10:03:00.001Z");
  CHECK(clock.calls == 2);
  clock.timer.stop();
  clock.set("2026-03-07T10:03:00.001Z");
  CHECK(clock.calls == 2);
  CHECK_FALSE(clock.timer.next().has_value());
}

TEST_CASE("cron timer: a clock that is set back does not make it wait for the old time") {
  SetClock clock;
  clock.timer.begin(*CronTable::parse("0 * * * *"));
  clock.set("2026-01-30T10:02:00.000Z");
  CHECK(*clock.timer.next() == *parse_rfc3339("2026-01-30T11:00:00.000Z"));
  CHECK(clock.calls == 0);
}

TEST_CASE("cron timer: the loop calls it") {
  Loop loop;
  WallTime now = *parse_rfc3339("2026-01-31T10:02:59.990Z");
  int calls = 0;
  CronTimer timer(
      loop,
      [&] {
        ++calls;
        loop.stop();
      },
      [&] { return std::exchange(now, now + std::chrono::milliseconds(10)); });
  timer.begin(*CronTable::parse("* * * * *"));
  loop.run();
  CHECK(calls == 1);
}

}  // namespace zeroth
