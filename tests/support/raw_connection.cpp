#include "tests/support/raw_connection.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace zeroth {
namespace {

template <class Address>
UniqueFd connect_to(const Address& address, int family) {
  UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    FAIL("cannot connect: ", std::string(std::strerror(errno)));
  return fd;
}

}  // namespace

RawConnection RawConnection::to_socket(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  REQUIRE(path.size() < sizeof address.sun_path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return RawConnection(connect_to(address, AF_UNIX));
}

RawConnection RawConnection::to_port(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return RawConnection(connect_to(address, AF_INET));
}

int RawConnection::wait(short events, MonotonicTime until) const {
  for (;;) {
    pollfd one{fd_.get(), events, 0};
    const int ready = ::poll(&one, 1, ms_until(until));
    if (ready >= 0 || errno != EINTR) return ready > 0 ? one.revents : 0;
  }
}

void RawConnection::read_some() {
  std::array<char, 65536> bytes;
  const ssize_t got = ::recv(fd_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (got > 0) received_.append(bytes.data(), static_cast<std::size_t>(got));
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) ended_ = true;
}

std::size_t RawConnection::offer(std::string_view bytes) {
  const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  return sent > 0 ? static_cast<std::size_t>(sent) : 0;
}

void RawConnection::send(std::string_view bytes, Milliseconds deadline) {
  const MonotonicTime until = monotonic_now() + deadline;
  while (!bytes.empty() && !ended_) {
    const int ready = wait(POLLIN | POLLOUT, until);
    if (ready == 0) FAIL("the supervisor does not read");
    if ((ready & (POLLIN | POLLHUP | POLLERR)) != 0) read_some();
    if ((ready & POLLOUT) != 0) bytes.remove_prefix(offer(bytes));
  }
}

std::optional<std::string> RawConnection::line(Milliseconds deadline) {
  const MonotonicTime until = monotonic_now() + deadline;
  std::size_t scanned = 0;
  for (;;) {
    const std::size_t end = received_.find('\n', scanned);
    if (end != std::string::npos) {
      std::string found = received_.substr(0, end);
      received_.erase(0, end + 1);
      return found;
    }
    scanned = received_.size();
    if (ended_ || wait(POLLIN, until) == 0) return std::nullopt;
    read_some();
  }
}

bool RawConnection::ends(const std::function<void(const std::string&)>& each, Milliseconds deadline) {
  const MonotonicTime until = monotonic_now() + deadline;
  while (const auto found = line(Milliseconds(ms_until(until)))) {
    if (each) each(*found);
  }
  return ended_;
}

}  // namespace zeroth
