#include "worker/host/channel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "common/worker_protocol.h"

namespace zeroth {

Result<Channel> Channel::from_environment() {
  const char* text = ::getenv(env::kFd);
  if (text == nullptr) return fail(std::string(env::kFd) + " is not set");
  int fd = -1;
  const char* end = text + std::strlen(text);
  if (std::from_chars(text, end, fd).ptr != end || fd < 0)
    return fail(std::string(env::kFd) + ": not a descriptor number");
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISSOCK(info.st_mode))
    return fail(std::string(env::kFd) + ": descriptor is not a socket");
  ::unsetenv(env::kFd);
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  return Channel(UniqueFd(fd));
}

Channel::Channel(UniqueFd fd) : fd_(std::move(fd)) {
  ::fcntl(fd_.get(), F_SETFL, ::fcntl(fd_.get(), F_GETFL) | O_NONBLOCK);
}

void Channel::send(std::string line) {
  out_ += line;
  write_some();
}

void Channel::write_some() {
  while (!out_.empty()) {
    const ssize_t written = ::send(fd_.get(), out_.data(), out_.size(), MSG_NOSIGNAL);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      if (errno != EAGAIN) out_.clear();  // the end is seen by reading
      return;
    }
    out_.erase(0, static_cast<std::size_t>(written));
  }
}

bool Channel::wait(std::chrono::nanoseconds timeout, int extra_fd) {
  std::array<pollfd, 2> fds = {
      {{fd_.get(), static_cast<short>(POLLIN | (out_.empty() ? 0 : POLLOUT)), 0}, {extra_fd, POLLIN, 0}}};
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(timeout);
  const timespec limit = {seconds.count(), (timeout - seconds).count()};
  const int due = ::ppoll(fds.data(), fds.size(), timeout.count() < 0 ? nullptr : &limit, nullptr);
  if (due <= 0) return false;
  if ((fds[0].revents & POLLOUT) != 0) write_some();
  readable_ = readable_ || (fds[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0;
  return fds[1].revents != 0;
}

void Channel::read(const std::function<void(std::string_view)>& on_line) {
  if (!readable_) return;
  readable_ = false;
  std::array<char, 64 * 1024> buffer;
  for (;;) {
    const ssize_t got = ::read(fd_.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      ended_ = true;
      return;
    }
    const bool fits =
        lines_.feed(std::string_view(buffer.data(), static_cast<std::size_t>(got)), [&](std::string_view line) {
          on_line(line);
          return true;
        });
    if (!fits) {
      ended_ = true;
      return;
    }
  }
}

void Channel::flush(std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (!out_.empty()) {
    pollfd waiting = {fd_.get(), POLLOUT, 0};
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    if (left <= 0 || ::poll(&waiting, 1, static_cast<int>(left)) <= 0 || (waiting.revents & POLLOUT) == 0) return;
    write_some();
  }
}

}  // namespace zeroth
