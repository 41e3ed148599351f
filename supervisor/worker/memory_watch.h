#pragma once
// Looks regularly whether the process group of the live generation takes more memory than it may (--max-memory). Owned
// by Worker, as HealthWatch is.

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>

#include "common/loop/loop.h"

namespace zeroth {

class MemoryWatch {
 public:
  // `on_over` gets the bytes it takes, at every look while that is too much; it may pause the watch.
  MemoryWatch(Loop& loop, std::function<void(std::uint64_t bytes)> on_over)
      : loop_(loop), on_over_(std::move(on_over)), timer_(loop) {}

  // `limit` in bytes. Every two seconds from now, and first after that.
  void begin(pid_t group, std::uint64_t limit);
  void pause();

 private:
  void look();

  Loop& loop_;
  std::function<void(std::uint64_t)> on_over_;
  Timer timer_;
  pid_t group_ = 0;
  std::uint64_t limit_ = 0;
  std::shared_ptr<void> looking_;  // a look is under way; it counts as long as this lives
};

}  // namespace zeroth
