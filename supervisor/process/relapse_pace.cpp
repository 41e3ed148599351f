#include "supervisor/process/relapse_pace.h"

#include <algorithm>

namespace zeroth {
namespace {

constexpr Milliseconds kFirstGap(10'000);
constexpr Milliseconds kLongestGap(600'000);
constexpr Milliseconds kWell(60'000);  // for so long beyond the gap: it was cured

// After which the next one may follow.
Milliseconds relapse_gap(int in_row) {
  if (in_row == 0) return Milliseconds(0);
  return std::min(kLongestGap, Milliseconds(kFirstGap.count() << std::min(in_row - 1, 20)));
}

}  // namespace

Milliseconds RelapsePace::wait(MonotonicTime now) const {
  const auto since = std::chrono::floor<Milliseconds>(now - last_);
  return std::max(Milliseconds(0), in_row_ == 0 ? Milliseconds(0) : relapse_gap(in_row_) - since);
}

void RelapsePace::replaced(MonotonicTime now) {
  const bool was_well = in_row_ == 0 || now - last_ > relapse_gap(in_row_) + kWell;
  in_row_ = was_well ? 1 : in_row_ + 1;
  last_ = now;
}

}  // namespace zeroth
