#pragma once
// Control over TCP on 127.0.0.1, beside the socket: everybody on the machine can connect, whoever knows the token in
// <runtime>/token is served. Owned by Place.

#include <cstdint>
#include <memory>
#include <string>

#include "common/loop/loop.h"
#include "common/result.h"
#include "common/unique_fd.h"
#include "supervisor/control/control_server.h"
#include "supervisor/control/token_file.h"

namespace zeroth {

class ControlPort {
 public:
  // Binds the port (0: any free one) and makes the token; who connects waits for serve(). EADDRINUSE with the holder
  // in the message if it is taken; else the errno of what failed.
  static Result<std::unique_ptr<ControlPort>> open(std::uint16_t port, const std::string& runtime_dir);
  ~ControlPort();

  void serve(Loop& loop, Connection::Handler handler);
  // Writes the token again if its folder was cleared. False: nothing was missing.
  Result<bool> keep() { return token_.keep(); }
  // Takes nobody in any more; who is connected stays.
  void leave();

  std::uint16_t port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  ControlPort(std::uint16_t port, UniqueFd socket, TokenFile token);

  std::uint16_t port_;  // as bound
  UniqueFd socket_;     // until serve()
  TokenFile token_;
  std::unique_ptr<ControlServer> server_;
};

}  // namespace zeroth
