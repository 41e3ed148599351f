#pragma once
// A connected stream descriptor (socketpair, socket, pipe) on the loop: reads as data comes, queues what cannot be
// written yet, never blocks. Used for workers' channels, control connections and captured output.

#include <sys/types.h>

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/loop/loop.h"
#include "common/unique_fd.h"

namespace zeroth {

class Stream {
 public:
  // Takes the descriptor and makes it non-blocking.
  Stream(Loop& loop, UniqueFd fd);

  // Reading begins. `on_data` gets bytes that are valid during the call. `on_end` is called once, at end of file or on
  // an error, after everything that could be read was delivered. Either may destroy the stream.
  void start(std::function<void(std::string_view)> on_data, std::function<void()> on_end);

  // Writes now what the descriptor takes and queues the rest, also after the other side has ended its half. After an
  // error bytes are dropped; the end is reported by reading.
  void write(std::string bytes);

  // Called when the queue has become empty after it was not (or broke); for "say this, then close".
  void on_drained(std::function<void()> call) { on_drained_ = std::move(call); }

  std::size_t queued() const { return queued_; }
  // A write failed: nobody reads any more.
  bool broken() const { return broken_; }
  int fd() const { return fd_.get(); }
  void pause();
  void resume();

 private:
  void on_events(int events);
  // False if the stream was destroyed by a callback or has ended.
  bool read_some();
  void write_some();
  void break_off();
  void update_events();

  UniqueFd fd_;
  FdWatch watch_;
  std::function<void(std::string_view)> on_data_;
  std::function<void()> on_end_;
  std::function<void()> on_drained_;
  std::deque<std::string> queue_;
  std::size_t front_written_ = 0;
  std::size_t queued_ = 0;
  bool reading_ = false;
  bool broken_ = false;
  int events_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace zeroth
