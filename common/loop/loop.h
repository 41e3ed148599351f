#pragma once
// One libuv loop, and the handles on it as values: destroying one stops it, closes it and frees it in libuv's own time.
// The loop is declared first in whatever owns it and so destroyed last; its destructor runs the pending closes.
// Callbacks run on the loop's thread; a callback may destroy the very object that calls it.

#include <uv.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "common/result.h"

namespace zeroth {

class Loop {
 public:
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Until stop() or until nothing is left to wait for.
  void run();
  void stop();
  uv_loop_t* uv() { return &loop_; }

  // Runs `work` on libuv's thread pool, then `done` on the loop. `done` runs also if `owner` is gone by then, unless it
  // is given: with an owner, a dead owner drops `done` (but `work` is never cut short).
  void in_pool(std::function<void()> work, std::function<void()> done);
  void in_pool(std::function<void()> work, std::weak_ptr<void> owner, std::function<void()> done);

  // Until no work runs on the pool, without running the loop; false: not in this time.
  bool wait_for_pool(std::chrono::milliseconds patience);

  // Runs `call` on the loop after the callback that is running now. What is posted by a posted call waits for the next
  // turn of the loop, so that everybody else is served in between.
  void post(std::function<void()> call);

 private:
  void run_posted();

  // Work that was given to the pool and has not ended.
  struct Pool {
    std::mutex mutex;
    std::condition_variable changed;
    int running = 0;
  };

  uv_loop_t loop_;
  std::shared_ptr<Pool> pool_ = std::make_shared<Pool>();
  uv_idle_t posts_;  // active while something is posted
  std::vector<std::function<void()>> posted_;
};

// Work for the pool of which one piece at a time runs: however much waits here, the pool has threads for others.
class Lane {
 public:
  explicit Lane(Loop& loop) : loop_(loop) {}
  // As Loop::in_pool with an owner, after what was given before. What waits when the lane goes is dropped.
  void run(std::function<void()> work, std::weak_ptr<void> owner, std::function<void()> done);

 private:
  struct Job {
    std::function<void()> work;
    std::weak_ptr<void> owner;
    std::function<void()> done;
  };
  void next();

  Loop& loop_;
  std::deque<Job> waiting_;
  bool busy_ = false;
  std::shared_ptr<void> alive_ = std::make_shared<int>();
};

Error uv_error(const char* call, int status);

namespace detail {
template <class Uv>
struct Closer {
  void operator()(Uv* handle) const {
    handle->data = nullptr;
    uv_close(reinterpret_cast<uv_handle_t*>(handle), [](uv_handle_t* closed) { delete reinterpret_cast<Uv*>(closed); });
  }
};
template <class Uv>
using Handle = std::unique_ptr<Uv, Closer<Uv>>;
}  // namespace detail

// Runs a callback once or repeatedly. Where the loop stood still (it was suspended, or starved), what has come
// meanwhile is read first: a deadline must not count against somebody who has answered.
class Timer {
 public:
  explicit Timer(Loop& loop);
  // Starts again from now, whatever ran before.
  void start(std::chrono::milliseconds after, std::function<void()> on_timeout);
  void start_repeating(std::chrono::milliseconds every, std::function<void()> on_timeout);
  void stop();
  bool active() const;

 private:
  void run(std::chrono::milliseconds after, std::chrono::milliseconds repeat, std::function<void()> on_timeout);
  void arm(std::uint64_t after_ms, std::uint64_t repeat_ms);
  void on_due();
  detail::Handle<uv_timer_t> handle_;
  std::function<void()> on_timeout_;
  std::uint64_t due_ = 0;  // on the loop's clock
  bool late_ = false;      // and what has come is being read
};

// Watches a descriptor (pipe, socket, inotify, pidfd) that somebody else owns; destroy the watch before closing it.
class FdWatch {
 public:
  static constexpr int kReadable = UV_READABLE;
  static constexpr int kWritable = UV_WRITABLE;

  // The descriptor is made non-blocking by libuv.
  FdWatch(Loop& loop, int fd);
  // `on_events` gets the events that are due; an error of the descriptor comes as all of `events`.
  void start(int events, std::function<void(int)> on_events);
  void stop();

 private:
  detail::Handle<uv_poll_t> handle_;
  int events_ = 0;
  std::function<void(int)> on_events_;
};

class SignalWatch {
 public:
  SignalWatch(Loop& loop, int signal, std::function<void()> on_signal);

 private:
  detail::Handle<uv_signal_t> handle_;
  std::function<void()> on_signal_;
};

}  // namespace zeroth
