#include "supervisor/process/restart_policy.h"

#include <doctest/doctest.h>

namespace zeroth {
namespace {

using Action = Decision::Action;
using std::chrono::minutes;
using std::chrono::seconds;

// A worker's ends one after the other, on a clock of the test's.
struct Life {
  double chance = 0.5;  // no jitter
  bool can_roll_back = true;
  MonotonicTime now{};
  RestartPolicy policy;

  explicit Life(RestartOptions options = {}) : policy(options, [this] { return chance; }) {}

  Decision end(ExitKind kind, bool was_ready, Milliseconds lived) {
    now += lived;
    const Decision decision = policy.on_end({kind, was_ready, lived, now, can_roll_back});
    now += decision.after.value_or(Milliseconds(0));
    return decision;
  }
  Decision crash(Milliseconds lived) { return end(ExitKind::Crashed, true, lived); }
};

}  // namespace

TEST_CASE("restart policy: at once, then 100 ms doubled up to 30 s") {
  Life life({.max_failures = 0});
  std::vector<std::int64_t> waits;
  for (int i = 0; i < 12; ++i) waits.push_back(life.crash(seconds(1)).after->count());
  CHECK(waits == std::vector<std::int64_t>{0, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000});
}

TEST_CASE("restart policy: jitter of a tenth either way") {
  for (const auto& [chance, wait] : {std::pair{0.0, 90}, std::pair{0.5, 100}, std::pair{0.999, 109}}) {
    Life life;
    life.chance = chance;
    life.crash(seconds(1));
    CHECK(life.crash(seconds(1)).after == Milliseconds(wait));
  }
}

TEST_CASE("restart policy: 60 s live clear the back-off, less does not") {
  Life life({.max_failures = 0});
  for (int i = 0; i < 3; ++i) life.crash(seconds(1));
  CHECK(life.crash(seconds(59)).after == Milliseconds(400));
  CHECK(life.crash(seconds(60)).after == Milliseconds(0));
  CHECK(life.crash(seconds(1)).after == Milliseconds(100));
}

TEST_CASE("restart policy: ten failures in a row give up, however long they take") {
  Life life;
  for (int i = 0; i < 9; ++i) {
    CHECK(life.crash(seconds(9)).action == Action::Restart);
    life.now += minutes(30);
  }
  const Decision last = life.crash(seconds(9));
  CHECK(last.action == Action::Failed);
  CHECK(last.after == seconds(60));
  CHECK(last.reason == "10 failures in a row");
  CHECK(life.crash(seconds(9)).action == Action::Failed);
}

TEST_CASE("restart policy: an end before ready is a failure however late, a life of min-uptime breaks the row") {
  Life life({.max_failures = 2});
  CHECK(life.end(ExitKind::Crashed, false, seconds(50)).action == Action::Restart);
  CHECK(life.crash(seconds(10)).action == Action::Restart);
  CHECK(life.policy.failures() == 0);
  CHECK(life.crash(seconds(9)).action == Action::Restart);
  CHECK(life.end(ExitKind::Crashed, false, seconds(50)).action == Action::Failed);
}

TEST_CASE("restart policy: twice as many crashes in ten minutes give up, spread wider they do not") {
  Life quick;
  for (int i = 0; i < 19; ++i) CHECK(quick.crash(seconds(11)).action == Action::Restart);
  const Decision last = quick.crash(seconds(11));
  CHECK(last.action == Action::Failed);
  CHECK(last.reason == "20 crashes in ten minutes");
  Life slow;
  for (int i = 0; i < 60; ++i) CHECK(slow.crash(seconds(31)).action == Action::Restart);
}

TEST_CASE("restart policy: never given up with max-failures 0, never retried with retry-failed 0") {
  Life stubborn({.max_failures = 0});
  for (int i = 0; i < 100; ++i) CHECK(stubborn.crash(seconds(0)).action == Action::Restart);
  Life final({.max_failures = 1, .retry_failed = Milliseconds(0)});
  const Decision decision = final.crash(seconds(0));
  CHECK(decision.action == Action::Failed);
  CHECK_FALSE(decision.after);
}

TEST_CASE("restart policy: an edit forgets the failures") {
  Life life({.max_failures = 2});
  life.crash(seconds(1));
  CHECK(life.crash(seconds(1)).action == Action::Failed);
  life.policy.reset();
  CHECK(life.crash(seconds(1)).after == Milliseconds(0));
}

TEST_CASE("restart policy: exit 0 finishes, unless told always") {
  Life life;
  CHECK(life.end(ExitKind::Finished, true, seconds(5)).action == Action::Finished);
  CHECK(life.end(ExitKind::Finished, false, seconds(0)).action == Action::Finished);
  Life always({.mode = RestartMode::Always});
  CHECK(always.end(ExitKind::Finished, true, seconds(70)).action == Action::Restart);
  for (int i = 0; i < 9; ++i) CHECK(always.end(ExitKind::Finished, true, seconds(0)).action == Action::Restart);
  CHECK(always.end(ExitKind::Finished, true, seconds(0)).action == Action::Failed);
}

TEST_CASE("restart policy: never means never") {
  Life life({.mode = RestartMode::Never});
  CHECK(life.end(ExitKind::Finished, true, seconds(5)).action == Action::Finished);
  const Decision decision = life.crash(seconds(100));
  CHECK(decision.action == Action::Failed);
  CHECK_FALSE(decision.after);
}

TEST_CASE("restart policy: after a reload the second failure rolls back, once") {
  Life life;
  life.policy.on_reloaded();
  CHECK(life.crash(seconds(1)).action == Action::Restart);
  const Decision second = life.end(ExitKind::Crashed, false, seconds(1));
  CHECK(second.action == Action::RollBack);
  CHECK(second.after == Milliseconds(0));
  CHECK(life.crash(seconds(1)).action == Action::Restart);
  CHECK(life.crash(seconds(1)).action == Action::Restart);
}

TEST_CASE("restart policy: min-uptime ends the trial of new code") {
  Life life;
  life.policy.on_reloaded();
  CHECK(life.crash(seconds(1)).action == Action::Restart);
  CHECK(life.crash(seconds(10)).action == Action::Restart);
  CHECK(life.crash(seconds(1)).action == Action::Restart);
}

TEST_CASE("restart policy: a kill from outside never rolls back") {
  Life life;
  life.policy.on_reloaded();
  for (int i = 0; i < 5; ++i) CHECK(life.end(ExitKind::KilledByHand, true, seconds(1)).action == Action::Restart);
  CHECK(life.crash(seconds(1)).action == Action::Restart);
  CHECK(life.end(ExitKind::KilledByHand, true, seconds(1)).action == Action::Restart);
  CHECK(life.crash(seconds(1)).action == Action::RollBack);
}

TEST_CASE("restart policy: with nothing to go back to it goes on restarting, and says so once") {
  Life life;
  life.can_roll_back = false;
  life.policy.on_reloaded();
  CHECK(life.crash(seconds(1)).reason == "");
  const Decision second = life.crash(seconds(1));
  CHECK(second.action == Action::Restart);
  CHECK(second.after == Milliseconds(100));
  CHECK(second.reason.find("is not kept") != std::string::npos);
  CHECK(life.crash(seconds(1)).reason == "");
}

TEST_CASE("restart policy: the end of a trial does not forget the failures that came before") {
  Life life({.max_failures = 3});
  life.policy.on_reloaded();
  CHECK(life.crash(seconds(1)).action == Action::Restart);
  CHECK(life.crash(seconds(1)).action == Action::RollBack);
  CHECK(life.crash(seconds(1)).action == Action::Failed);
}

TEST_CASE("restart policy: an exit with 0 breaks the row of failures, a kill from outside does not") {
  Life life({.max_failures = 3});
  life.crash(seconds(1));
  life.crash(seconds(1));
  CHECK(life.end(ExitKind::Finished, true, seconds(1)).action == Action::Finished);
  CHECK(life.crash(seconds(1)).action == Action::Restart);
  CHECK(life.end(ExitKind::KilledByHand, true, seconds(1)).action == Action::Restart);
  CHECK(life.end(ExitKind::KilledByHand, true, seconds(1)).action == Action::Failed);
}

TEST_CASE("restart policy: min-uptime is the one window: a moment less is a failure, exactly as much is none") {
  for (const Milliseconds window : {Milliseconds(1'000), Milliseconds(10'000), Milliseconds(60'000)}) {
    Life life({.min_uptime = window, .max_failures = 2});
    life.crash(window - Milliseconds(1));
    CHECK(life.policy.failures() == 1);
    life.crash(window);
    CHECK(life.policy.failures() == 0);
  }
}

TEST_CASE("restart policy: a program that dies after 0.2, 0.9, 5 or 11 s") {
  const auto starts_until_failed = [](Milliseconds lived) {
    Life life;
    for (int starts = 1; starts < 1'000; ++starts) {
      if (life.crash(lived).action == Action::Failed) return starts;
    }
    return 0;
  };
  CHECK(starts_until_failed(Milliseconds(200)) == 10);
  CHECK(starts_until_failed(Milliseconds(900)) == 10);
  CHECK(starts_until_failed(seconds(5)) == 10);
  CHECK(starts_until_failed(seconds(11)) == 20);  // no failures, but twenty crashes in ten minutes
  CHECK(starts_until_failed(seconds(40)) == 0);
}

TEST_CASE("restart policy: the back-off counts over failures and crashes alike, and giving up does not clear it") {
  Life life({.max_failures = 3});
  std::vector<std::int64_t> waits;
  for (int i = 0; i < 4; ++i) waits.push_back(life.crash(seconds(1)).after->count());
  CHECK(waits == std::vector<std::int64_t>{0, 100, 60'000, 60'000});
  CHECK(life.crash(seconds(20)).after == Milliseconds(200));
}

}  // namespace zeroth
