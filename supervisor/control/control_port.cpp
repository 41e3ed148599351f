#include "supervisor/control/control_port.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <utility>

#include "supervisor/process/listeners.h"

namespace zeroth {

Result<std::unique_ptr<ControlPort>> ControlPort::open(std::uint16_t port, const std::string& runtime_dir) {
  const auto address = parse_listen_address(std::to_string(port));
  if (!address) return fail(address.error());
  auto listener = open_listener(*address);
  if (!listener) return fail(std::move(listener.error()).in("control port"));
  sockaddr_in bound{};
  socklen_t length = sizeof bound;
  if (::getsockname(listener->fd.get(), reinterpret_cast<sockaddr*>(&bound), &length) != 0)
    return fail(last_error("control port"));
  auto token = TokenFile::make(runtime_dir + "/token");
  if (!token) return fail(std::move(token.error()));
  return std::unique_ptr<ControlPort>(
      new ControlPort(ntohs(bound.sin_port), std::move(listener->fd), std::move(*token)));
}

ControlPort::ControlPort(std::uint16_t port, UniqueFd socket, TokenFile token)
    : port_(port), socket_(std::move(socket)), token_(std::move(token)) {}

ControlPort::~ControlPort() {
  token_.remove();
}

void ControlPort::serve(Loop& loop, Connection::Handler handler) {
  server_ = ControlServer::serve(loop, std::move(socket_), token_.token(), std::move(handler));
}

void ControlPort::leave() {
  token_.remove();
  socket_.reset();
  if (server_) server_->stop_listening();
}

}  // namespace zeroth
