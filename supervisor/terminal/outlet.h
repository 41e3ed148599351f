#pragma once
// Writes to the terminal or pipe that somebody else owns without ever waiting for it: what it does not take now is
// queued, what the queue cannot hold is dropped and counted. The descriptor's flags are left alone, for it is shared.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

#include "common/loop/loop.h"

namespace zeroth {

class Outlet {
 public:
  Outlet(Loop& loop, int fd) : fd_(fd), retry_(loop) {}
  // One last try to get the queue out, for a moment only.
  ~Outlet();

  void write(std::string text);

 private:
  static constexpr std::size_t kMaxQueued = 1 << 20;

  bool write_some();

  const int fd_;
  Timer retry_;
  std::deque<std::string> queue_;
  std::size_t queued_ = 0;
  std::uint64_t dropped_ = 0;
};

}  // namespace zeroth
