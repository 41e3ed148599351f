#pragma once
// Listens on the control socket: a Unix socket that only its owner (and root) can open, with a bounded number of
// clients. Owned by the supervisor, which gives it the handler for requests.

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

#include "common/loop/loop.h"
#include "common/result.h"
#include "common/unique_fd.h"
#include "supervisor/control/connection.h"

namespace zeroth {

class ControlServer {
 public:
  // Binds `path` (see control_socket_path) with mode 0600; it appears only when it already listens. Missing folders are
  // made with 0700; one that others may write, or that is somebody else's, is refused, as is a path that holds anything
  // but a socket. A socket that is there already is replaced only if the caller holds the instance lock (EADDRINUSE
  // else).
  static Result<std::unique_ptr<ControlServer>> listen(Loop& loop, const std::string& path, bool lock_held,
                                                       Connection::Handler handler, ControlLimits limits = {});
  // Closes all clients, and removes the socket if it is still this one.
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  std::size_t connections() const { return connections_.size(); }

 private:
  ControlServer(Loop& loop, std::string path, UniqueFd socket, Connection::Handler handler, ControlLimits limits);
  void watch();
  void on_incoming();
  bool accept_one();
  void shed();
  void admit(UniqueFd client);

  Loop& loop_;
  std::string path_;
  std::pair<dev_t, ino_t> inode_;  // of the socket file
  UniqueFd socket_;
  UniqueFd spare_;  // given up for a moment to turn a client away when descriptors run out
  Connection::Handler handler_;
  ControlLimits limits_;
  FdWatch watch_;
  Timer rest_;
  std::unordered_map<Connection*, std::shared_ptr<Connection>> connections_;
};

}  // namespace zeroth
