#pragma once
// Runs a loop until something has happened, with a deadline: the waiting of all tests with real processes.

#include <chrono>
#include <functional>

#include "common/clock.h"
#include "common/loop/loop.h"

namespace zeroth {

// False if `happened` was still false at the deadline. It is asked after every event, and every 2 ms for what no event
// of the loop tells.
inline bool run_until(Loop& loop, const std::function<bool()>& happened,
                      std::chrono::seconds deadline = std::chrono::seconds(20)) {
  const MonotonicTime until = monotonic_now() + deadline;
  Timer wake(loop);
  wake.start_repeating(Milliseconds(2), [] {});
  while (!happened()) {
    if (monotonic_now() >= until) return false;
    uv_run(loop.uv(), UV_RUN_ONCE);
  }
  return true;
}

}  // namespace zeroth
