#pragma once
// The worker's end of the channel ($ZEROTH_FD): lines in, lines out, waiting for either with a deadline. No event loop:
// the host's own loop decides when to look.

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "common/line_splitter.h"
#include "common/message.h"
#include "common/result.h"
#include "common/unique_fd.h"

namespace zeroth {

class Channel {
 public:
  // The descriptor named by $ZEROTH_FD, which must be a socket; the variable is removed so that no child inherits it.
  static Result<Channel> from_environment();

  explicit Channel(UniqueFd fd);

  // Queues one encoded line and writes what the socket takes.
  void send(std::string line);

  // Waits until there is something to read, `extra_fd` (-1 for none) is readable, or `timeout` is over (negative: no
  // limit). Zero only looks. Writes what is queued meanwhile. True if it was `extra_fd`.
  bool wait(std::chrono::nanoseconds timeout, int extra_fd = -1);

  // Reads what has come and hands each complete line to `on_line`, which may send. Lines the host cannot take yet stay
  // queued by the host. A line over kMaxLine counts as the end.
  void read(const std::function<void(std::string_view)>& on_line);

  // The supervisor is gone, or what it sends is no protocol.
  bool ended() const { return ended_; }

  int fd() const { return fd_.get(); }

  // Writes all that is queued, waiting for the other side at most `timeout`.
  void flush(std::chrono::milliseconds timeout);

 private:
  void write_some();

  UniqueFd fd_;
  LineSplitter lines_{kMaxLine};
  std::string out_;
  bool readable_ = false;
  bool ended_ = false;
};

}  // namespace zeroth
