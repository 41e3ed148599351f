#pragma once
// A datagram socket on which a worker's processes tell how they are, as they would tell systemd (sd_notify): READY=1
// and STATUS=…; the rest is read and forgotten. One for each generation that need not speak; owned by Readiness.

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/loop/loop.h"
#include "common/unique_fd.h"

namespace zeroth {

struct Notification {
  bool ready = false;                 // READY=1
  std::optional<std::string> status;  // STATUS=…, fit to be shown, of bounded length

  bool empty() const { return !ready && !status; }
};
// Of one datagram: assignments, one a line.
Notification parse_notification(std::string_view text);

class NotifySocket {
 public:
  struct Hooks {
    // Is this process one of the worker's? Asked for messages that say something, while the process waits or is gone.
    std::function<bool(pid_t)> belongs;
    // May destroy the socket.
    std::function<void(const Notification&)> on_message;
  };

  struct Bound {
    UniqueFd socket;
    std::string address;
    ino_t inode = 0;            // of the file, 0: none
    std::optional<uid_t> user;  // whose processes may write to it beside our own
  };
  // To `path`, replacing what is there; if that is not possible (longer than 107 bytes), to a random name without a
  // file. On any thread: it blocks as the disk does. With a `user` only we may write to the path's folder.
  static Result<Bound> bind(const std::string& path, std::optional<uid_t> user = {});
  // Removes its file, likewise, unless the next one has taken its place.
  static void remove(const Bound& bound);

  NotifySocket(Loop& loop, Bound bound, Hooks hooks);
  // Removes its file, on the pool.
  ~NotifySocket();
  NotifySocket(const NotifySocket&) = delete;
  NotifySocket& operator=(const NotifySocket&) = delete;

  // For $NOTIFY_SOCKET: a path, or "@name".
  const std::string& address() const { return bound_.address; }

 private:
  void watch();
  void read_some();

  Loop& loop_;
  Bound bound_;
  Hooks hooks_;
  FdWatch watch_;
  Timer rest_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace zeroth
