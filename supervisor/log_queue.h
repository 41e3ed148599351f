#pragma once
// Lines on their way to a log, written by a thread of their own: whoever logs never waits for a disk. Bounded: what is
// too much takes the place of the oldest, which are counted and told of when lines get out again.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "common/clock.h"

namespace zeroth {

class LogQueue {
 public:
  struct Line {
    WallTime at;
    int level = 0;  // as the writer understands it
    std::string text;
  };
  // Called on the thread alone, one at a time.
  struct Writer {
    std::function<void(const Line&)> write;
    std::function<void()> flush;                 // after the last one of those that were there
    std::function<void()> reopen;                // the file may have been moved away
    std::function<Line(std::uint64_t)> dropped;  // says how many are missing here
  };

  explicit LogQueue(Writer writer, std::size_t most_bytes = std::size_t(4) << 20);
  // Goes on with what it holds if its disk hangs, and is left behind then: flush() first.
  ~LogQueue();
  LogQueue(const LogQueue&) = delete;
  LogQueue& operator=(const LogQueue&) = delete;

  void push(Line line);
  // Before the next line.
  void reopen();
  // Until all that was pushed is written; false: not in this time.
  bool flush(Milliseconds patience);

 private:
  struct Shared;
  const std::shared_ptr<Shared> shared_;
  std::thread thread_;
};

}  // namespace zeroth
