#include "common/loop/stream.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace zeroth {
namespace {

constexpr std::size_t kReadBytes = 64 * 1024;
constexpr int kReadsPerTurn = 4;  // then others get their turn

}  // namespace

Stream::Stream(Loop& loop, UniqueFd fd) : fd_(std::move(fd)), watch_(loop, fd_.get()) {}

void Stream::start(std::function<void(std::string_view)> on_data, std::function<void()> on_end) {
  on_data_ = std::move(on_data);
  on_end_ = std::move(on_end);
  reading_ = true;
  update_events();
}

void Stream::pause() {
  reading_ = false;
  update_events();
}

void Stream::resume() {
  reading_ = true;
  update_events();
}

void Stream::write(std::string bytes) {
  if (broken_ || bytes.empty()) return;
  queued_ += bytes.size();
  queue_.push_back(std::move(bytes));
  if (queue_.size() == 1) write_some();
  update_events();
}

void Stream::update_events() {
  const int wanted = (reading_ ? FdWatch::kReadable : 0) | (queue_.empty() ? 0 : FdWatch::kWritable);
  if (wanted == events_) return;
  events_ = wanted;
  if (wanted == 0) {
    watch_.stop();
  } else {
    watch_.start(wanted, [this](int events) { on_events(events); });
  }
}

void Stream::on_events(int events) {
  const std::weak_ptr<bool> alive = alive_;
  if ((events & FdWatch::kWritable) != 0) {
    write_some();
    update_events();
    if (queue_.empty() && on_drained_) {
      const auto call = on_drained_;
      call();
      if (alive.expired()) return;
    }
  }
  if ((events & FdWatch::kReadable) == 0) return;
  for (int i = 0; i < kReadsPerTurn && reading_; ++i) {
    if (!read_some()) return;
  }
}

bool Stream::read_some() {
  std::array<char, kReadBytes> buffer;
  const ssize_t got = ::read(fd_.get(), buffer.data(), buffer.size());
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (got <= 0) {
    reading_ = false;
    if (got < 0) break_off();
    update_events();
    const auto call = on_end_;
    call();
    return false;
  }
  const std::weak_ptr<bool> alive = alive_;
  const auto call = on_data_;
  call(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
  return !alive.expired();
}

void Stream::break_off() {
  broken_ = true;
  queue_.clear();
  queued_ = 0;
  front_written_ = 0;
}

void Stream::write_some() {
  while (!queue_.empty()) {
    const std::string& front = queue_.front();
    ssize_t written =
        ::send(fd_.get(), front.data() + front_written_, front.size() - front_written_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (written < 0 && errno == ENOTSOCK)
      written = ::write(fd_.get(), front.data() + front_written_, front.size() - front_written_);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (written < 0) return break_off();
    front_written_ += static_cast<std::size_t>(written);
    queued_ -= static_cast<std::size_t>(written);
    if (front_written_ < front.size()) continue;
    queue_.pop_front();
    front_written_ = 0;
  }
}

}  // namespace zeroth
