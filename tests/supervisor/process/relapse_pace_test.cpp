#include "supervisor/process/relapse_pace.h"

#include <doctest/doctest.h>

namespace zeroth {

TEST_CASE("relapse: the first time at once, then rarer and rarer up to ten minutes") {
  RelapsePace pace;
  MonotonicTime now{};
  CHECK(pace.wait(now) == Milliseconds(0));
  for (const int seconds : {10, 20, 40, 80, 160, 320, 600, 600, 600}) {
    pace.replaced(now);
    CHECK(pace.wait(now) == std::chrono::seconds(seconds));
    CHECK(pace.wait(now + std::chrono::seconds(seconds - 1)) == std::chrono::seconds(1));
    now += std::chrono::seconds(seconds);
    CHECK(pace.wait(now) == Milliseconds(0));
    CHECK(pace.wait(now + std::chrono::hours(1)) == Milliseconds(0));
  }
}

TEST_CASE("relapse: a life that was well for a minute beyond the wait begins anew") {
  RelapsePace pace;
  const MonotonicTime start{};
  pace.replaced(start);
  pace.replaced(start + std::chrono::seconds(70));  // within: the second in a row
  CHECK(pace.wait(start + std::chrono::seconds(70)) == std::chrono::seconds(20));
  const MonotonicTime later = start + std::chrono::seconds(70 + 20 + 61);
  pace.replaced(later);
  CHECK(pace.wait(later) == std::chrono::seconds(10));
}

}  // namespace zeroth
