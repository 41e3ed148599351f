#include "supervisor/terminal/keyboard.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace zeroth {

std::unique_ptr<Keyboard> Keyboard::open(Loop& loop, std::function<void(std::string_view)> on_bytes) {
  if (::isatty(STDIN_FILENO) != 1) return nullptr;
  constexpr int kFlags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  UniqueFd fd(::open("/proc/self/fd/0", kFlags));
  if (!fd) fd.reset(::open("/dev/tty", kFlags));
  if (!fd || ::isatty(fd.get()) != 1) return nullptr;
  return std::unique_ptr<Keyboard>(new Keyboard(loop, std::move(fd), std::move(on_bytes)));
}

Keyboard::Keyboard(Loop& loop, UniqueFd fd, std::function<void(std::string_view)> on_bytes)
    : fd_(std::move(fd)), watch_(loop, fd_.get()), mode_(fd_.get()), on_bytes_(std::move(on_bytes)) {}

termios Keyboard::own_modes() const {
  termios modes = mode_.own_modes();
  if (!reading_) ::tcgetattr(fd_.get(), &modes);
  return modes;
}

void Keyboard::resume() {
  if (reading_ || gone_ || !mode_.enter()) return;
  reading_ = true;
  watch_.start(FdWatch::kReadable, [this](int) { on_readable(); });
}

void Keyboard::suspend() {
  if (reading_) watch_.stop();
  reading_ = false;
  mode_.leave();
}

void Keyboard::on_readable() {
  if (!in_foreground(fd_.get())) return suspend();  // it is not for us
  std::array<char, 1024> bytes;
  const ssize_t got = ::read(fd_.get(), bytes.data(), bytes.size());
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    gone_ = true;
    return suspend();
  }
  on_bytes_({bytes.data(), static_cast<std::size_t>(got)});
}

}  // namespace zeroth
