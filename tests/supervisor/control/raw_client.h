#pragma once
// A client of the control socket that sends any bytes and reads lines without waiting: the test turns the loop between.

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>

#include "common/unique_fd.h"

namespace zeroth {

class RawClient {
 public:
  explicit RawClient(const std::string& path) : fd_(connect(path)) {}

  // Queues the bytes; what does not fit now goes out with later calls of next_line() and ended().
  void send(std::string_view bytes) {
    unsent_ += bytes;
    move_bytes();
  }
  bool next_line(std::string& line) {
    move_bytes();
    const std::size_t end = received_.find('\n');
    if (end == std::string::npos) return false;
    line = received_.substr(0, end);
    received_.erase(0, end + 1);
    return true;
  }
  // The server has closed, and all lines were read.
  bool ended() {
    move_bytes();
    return ended_ && received_.find('\n') == std::string::npos;
  }
  void end_half() { ::shutdown(fd_.get(), SHUT_WR); }

  // From another process: connects, sends, reads until the end.
  static std::string blocking_answer(const std::string& path, std::string_view bytes) {
    const UniqueFd fd = connect(path);
    [[maybe_unused]] const ssize_t sent = ::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    std::string all;
    std::array<char, 4096> buffer;
    for (ssize_t got = 0; (got = ::recv(fd.get(), buffer.data(), buffer.size(), 0)) > 0;)
      all.append(buffer.data(), static_cast<std::size_t>(got));
    return all;
  }

 private:
  static UniqueFd connect(const std::string& path) {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error("cannot connect to " + path);
    return fd;
  }

  void move_bytes() {
    if (!unsent_.empty()) {
      const ssize_t sent = ::send(fd_.get(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent > 0) unsent_.erase(0, static_cast<std::size_t>(sent));
    }
    static thread_local std::array<char, 65536> buffer;
    while (!ended_) {
      const ssize_t got = ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (got < 0 && errno == EAGAIN) return;
      if (got <= 0) ended_ = true;
      if (got > 0) received_.append(buffer.data(), static_cast<std::size_t>(got));
    }
  }

  UniqueFd fd_;
  std::string unsent_;
  std::string received_;
  bool ended_ = false;
};

}  // namespace zeroth
