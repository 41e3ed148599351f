#pragma once
// Takes in the clients of one transport, a bounded number of them: of the control socket, that only its owner (and
// root) can open, or of the TCP port, where each request carries the token. Owned by the supervisor's place, which
// gives it the handler for requests. Each transport has its own bound, so that a crowd at the port, which needs no
// permission to connect, never keeps the owner from the socket.

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
  // Serves a listening TCP socket to who knows the token.
  static std::unique_ptr<ControlServer> serve(Loop& loop, UniqueFd listening, std::string token,
                                              Connection::Handler handler, ControlLimits limits = {});
  // Closes all clients, and removes the socket if it is still this one.
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  // Takes nobody in any more; who is connected stays.
  void stop_listening();

  std::size_t connections() const { return connections_.size(); }

 private:
  ControlServer(Loop& loop, std::string path, UniqueFd socket, std::string token, Connection::Handler handler,
                ControlLimits limits);
  void watch();
  void on_incoming();
  bool accept_one();
  void shed();
  void admit(UniqueFd client);

  Loop& loop_;
  const std::string path_;         // of the socket file, "" for TCP
  std::pair<dev_t, ino_t> inode_;  // of that file
  const std::string token_;        // for TCP, "" for the socket
  UniqueFd socket_;
  UniqueFd spare_;  // given up for a moment to turn a client away when descriptors run out
  Connection::Handler handler_;
  ControlLimits limits_;
  std::unique_ptr<FdWatch> watch_;  // null once nobody is taken in
  Timer rest_;
  std::unordered_map<Connection*, std::shared_ptr<Connection>> connections_;
};

}  // namespace zeroth
