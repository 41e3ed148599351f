#include "supervisor/terminal/outlet.h"

#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/clock.h"

namespace zeroth {
namespace {

constexpr Milliseconds kRetry{20};
constexpr int kLastTries = 25;  // of kRetry each

// A pipe that polls as writable takes PIPE_BUF bytes without blocking (pipe(7)); so does a terminal that is not
// stopped.
bool takes_more(int fd, int timeout_ms) {
  pollfd ready = {fd, POLLOUT, 0};
  return ::poll(&ready, 1, timeout_ms) == 1 && (ready.revents & POLLOUT) != 0;
}

}  // namespace

Outlet::~Outlet() {
  for (int i = 0; i < kLastTries && !write_some(); ++i) takes_more(fd_, static_cast<int>(kRetry.count()));
}

void Outlet::write(std::string text) {
  if (queued_ + text.size() > kMaxQueued) {
    ++dropped_;
    return;
  }
  queued_ += text.size();
  queue_.push_back(std::move(text));
  if (!retry_.active() && !write_some()) {
    retry_.start_repeating(kRetry, [this] {
      if (write_some()) retry_.stop();
    });
  }
}

// True when nothing is left.
bool Outlet::write_some() {
  while (!queue_.empty()) {
    if (!takes_more(fd_, 0)) return false;
    std::string& front = queue_.front();
    const ssize_t written = ::write(fd_, front.data(), std::min<std::size_t>(front.size(), PIPE_BUF));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EAGAIN) return false;
    const std::size_t gone = written < 0 ? front.size() : static_cast<std::size_t>(written);  // nobody reads any more
    queued_ -= gone;
    front.erase(0, gone);
    if (front.empty()) queue_.pop_front();
  }
  if (dropped_ > 0) {
    const std::string told = "[" + std::to_string(dropped_) + " lines were not shown]\n";
    dropped_ = 0;
    write(told);
  }
  return queue_.empty();
}

}  // namespace zeroth
