#pragma once
// Calls when a timetable says so, by the wall clock, which may be set while it waits. Owned by the member whose worker
// is to be restarted then.

#include <functional>
#include <optional>

#include "common/loop/loop.h"
#include "supervisor/process/cron.h"

namespace zeroth {

class CronTimer {
 public:
  // `now`: the wall clock.
  CronTimer(Loop& loop, std::function<void()> on_due, std::function<WallTime()> now = wall_now)
      : on_due_(std::move(on_due)), now_(std::move(now)), timer_(loop) {}

  // From now on, instead of what was before.
  void begin(CronTable table);
  void stop();
  // When it calls next, as far as is known now.
  const std::optional<WallTime>& next() const { return next_; }
  // The clock may have been set: looks at it. By itself every half minute.
  void look();

 private:
  void wait();

  std::function<void()> on_due_;
  std::function<WallTime()> now_;
  Timer timer_;
  std::optional<CronTable> table_;
  std::optional<WallTime> next_;
  WallTime looked_{};
};

}  // namespace zeroth
