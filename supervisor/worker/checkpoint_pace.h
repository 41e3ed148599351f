#pragma once
// How far apart periodic snapshots are. Pure: Checkpointer asks it after each.

#include <cstdint>

#include "common/clock.h"

namespace zeroth {

struct CheckpointPace {
  Milliseconds interval{1'000};        // least time between two
  std::uint64_t bytes_per_second = 0;  // mean rate on disk, 0 for no limit
};

// What the last snapshot cost, and how many have failed since one succeeded.
struct CheckpointCost {
  double pause_ms = 0;
  std::uint64_t bytes = 0;
  int failures = 0;
};

// From the cut of the last one to that of the next: at least the interval, 20 times the pause, and the bytes at the
// mean rate; after failures at least 1 s, doubling up to 30 s.
Milliseconds gap_after(const CheckpointCost& last, const CheckpointPace& pace);

}  // namespace zeroth
