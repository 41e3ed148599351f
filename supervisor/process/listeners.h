#pragma once
// Listening sockets that the supervisor opens and lends to every generation of a worker (LISTEN_FDS, as systemd lends
// them): connections wait in the kernel's queue while one generation hands over to the next. Opened before the instance
// is announced, closed with the supervisor.

#include <sys/socket.h>

#include <string>
#include <string_view>

#include "common/result.h"
#include "common/unique_fd.h"

namespace zeroth {

struct ListenAddress {
  std::string name;  // in LISTEN_FDNAMES
  std::string text;  // "127.0.0.1:8080", "[::1]:8080", "unix:/run/shop.sock"
  sockaddr_storage address{};
  socklen_t length = 0;
};

// [NAME=]PORT (on 127.0.0.1), [NAME=]HOST:PORT with an IP address, "localhost" or "*" (every address) as host, or
// [NAME=]unix:PATH. Without a NAME it is "http". Port 0 is any free one.
Result<ListenAddress> parse_listen_address(std::string_view text);

struct Listener {
  std::string name;
  std::string text;  // with the port that was given for 0
  UniqueFd fd;
};

// Binds and listens. A taken port is an error that names who holds it (EADDRINUSE); the file of a unix socket that
// nobody accepts on any more is replaced.
Result<Listener> open_listener(const ListenAddress& address);

}  // namespace zeroth
