#pragma once
// Tells a person when a start takes longer than expected, and what it waits for. Owned by Supervisor.

#include <functional>
#include <string>

#include "common/loop/loop.h"
#include "supervisor/worker/worker.h"

namespace zeroth {

class SlowStart {
 public:
  // `worker` outlives it. A start may be under way already.
  SlowStart(Loop& loop, const Worker& worker, std::function<void(const std::string& line)> say);

  // A generation was spawned.
  void watch();

 private:
  const Worker& worker_;
  std::function<void(const std::string&)> say_;
  Timer timer_;
};

}  // namespace zeroth
