#include "supervisor/slow_start.h"

#include <utility>

#include "common/clock.h"

namespace zeroth {
namespace {

constexpr Milliseconds kLong{3'500};  // a little more than the wait for a command's hello

}  // namespace

SlowStart::SlowStart(Loop& loop, const Worker& worker, std::function<void(const std::string& line)> say)
    : worker_(worker), say_(std::move(say)), timer_(loop) {
  watch();
}

void SlowStart::watch() {
  timer_.start(kLong, [this] {
    if (worker_.state() != WorkerState::Starting) return;
    const std::string awaited = worker_.waits_for();
    say_("still starting; " +
         (awaited.empty() ? "the program loads or its state is being restored" : "waiting for " + awaited));
  });
}

}  // namespace zeroth
