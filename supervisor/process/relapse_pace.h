#pragma once
// How often a worker that lives but is not well may be replaced on purpose: at once the first time, then rarer and
// rarer, so that a check that is wrong, or a state that does not fit its limit, makes no storm of reloads. Pure. One
// per worker.

#include "common/clock.h"

namespace zeroth {

class RelapsePace {
 public:
  // What is still to be waited for, 0: it may be replaced now.
  Milliseconds wait(MonotonicTime now) const;
  // It is being replaced.
  void replaced(MonotonicTime now);

 private:
  int in_row_ = 0;
  MonotonicTime last_{};
};

}  // namespace zeroth
