#include "supervisor/worker/checkpoint_pace.h"

#include <algorithm>

namespace zeroth {
namespace {

using namespace std::chrono_literals;

constexpr double kPauseShare = 20;  // at most one part in 20 of the time is spent pausing
constexpr Milliseconds kLongestRetry = 30s;
constexpr double kLongestGapMs = 1e15;  // fits into the clock's range; nobody waits for it

}  // namespace

Milliseconds gap_after(const CheckpointCost& last, const CheckpointPace& pace) {
  const auto whole = [](double ms) { return Milliseconds(static_cast<std::int64_t>(std::min(ms, kLongestGapMs))); };
  Milliseconds gap = std::max(pace.interval, whole(last.pause_ms * kPauseShare));
  if (pace.bytes_per_second > 0) {
    gap = std::max(gap, whole(static_cast<double>(last.bytes) * 1'000 / static_cast<double>(pace.bytes_per_second)));
  }
  if (last.failures == 0) return gap;
  return std::max(gap, std::min<Milliseconds>(kLongestRetry, 1s * (1 << std::min(last.failures - 1, 5))));
}

}  // namespace zeroth
