#pragma once
// The one line at the bottom of the terminal that tells how the worker is: its layout, and when it becomes untrue.
// Pure.

#include <cstdint>
#include <optional>
#include <string>

#include "common/clock.h"
#include "supervisor/terminal/progress_meter.h"

namespace zeroth {

struct StatusFacts {
  std::string open_line;  // what the worker has written of a line so far, fit for a terminal
  std::uint64_t generation = 0;
  std::string state;  // "" if there is nothing to say about it
  bool rejected = false;
  std::optional<std::uint64_t> iteration;
  std::optional<double> rate;
  std::optional<double> convergence;
  Trend trend = Trend::Unknown;
  std::optional<std::chrono::seconds> snapshot_age;
  std::size_t files = 0;  // watched
};

// At most `columns` wide: what does not fit is left out, the least important first.
std::string status_line(const StatusFacts& facts, std::size_t columns, bool utf8);

// After this the line shows another age though nothing happened; nullopt if it never will.
std::optional<Milliseconds> changes_after(const StatusFacts& facts);

}  // namespace zeroth
