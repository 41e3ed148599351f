#include "supervisor/worker/memory_watch.h"

#include "supervisor/process/memory_use.h"

namespace zeroth {
namespace {

constexpr std::chrono::milliseconds kLook(2'000);  // a walk through /proc costs a few ms of another thread

}  // namespace

void MemoryWatch::begin(pid_t group, std::uint64_t limit) {
  pause();
  group_ = group;
  limit_ = limit;
  timer_.start_repeating(kLook, [this] { look(); });
}

void MemoryWatch::pause() {
  timer_.stop();
  looking_.reset();
}

void MemoryWatch::look() {
  if (looking_) return;
  looking_ = std::make_shared<int>();
  const auto bytes = std::make_shared<std::uint64_t>(0);
  loop_.in_pool([bytes, group = group_] { *bytes = memory_of_groups()[group]; }, looking_,
                [this, bytes] {
                  looking_.reset();
                  if (*bytes > limit_) on_over_(*bytes);
                });
}

}  // namespace zeroth
