#include "supervisor/terminal/key_mode.h"

#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace zeroth {
namespace {

constexpr int kCrashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

// What a signal handler needs to give the terminal back.
struct {
  volatile std::sig_atomic_t fd = -1;
  termios modes{};
} at_crash;

void on_crash(int number) {
  if (at_crash.fd >= 0 && ::tcsetattr(at_crash.fd, TCSANOW, &at_crash.modes) == 0) {
    [[maybe_unused]] const ssize_t written =
        ::write(STDERR_FILENO, "\n", 1);  // what tells of it is not to stand behind the status line
  }
  std::raise(number);  // SA_RESETHAND: now it ends us
}

// A handler found here belongs to a sanitizer and stays.
void restore_at_crash() {
  for (const int number : kCrashes) {
    struct sigaction action {};
    if (::sigaction(number, nullptr, &action) != 0 || action.sa_handler != SIG_DFL) continue;
    action.sa_handler = on_crash;
    action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
    ::sigaction(number, &action, nullptr);
  }
}

}  // namespace

bool in_foreground(int fd) {
  const pid_t group = ::tcgetpgrp(fd);
  if (group >= 0) return group == ::getpgrp();
  return errno == ENOTTY && ::isatty(fd) == 1;  // it controls nobody of our session: no shell shares it with us
}

void ignore_background_signals() {
  std::signal(SIGTTOU, SIG_IGN);
  std::signal(SIGTTIN, SIG_IGN);
}

bool KeyMode::enter() {
  if (!in_foreground(fd_)) return false;
  if (entered_) return true;
  if (::tcgetattr(fd_, &own_) != 0) return false;
  termios keys = own_;
  keys.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  keys.c_lflag |= ISIG;
  keys.c_cc[VMIN] = 1;
  keys.c_cc[VTIME] = 0;
  at_crash.modes = own_;
  at_crash.fd = fd_;
  restore_at_crash();
  // At once: waiting until what was written is out could take for ever on a terminal that is stopped.
  entered_ = ::tcsetattr(fd_, TCSANOW, &keys) == 0;
  return entered_;
}

void KeyMode::leave() {
  if (!entered_) return;
  entered_ = false;
  at_crash.fd = -1;
  if (in_foreground(fd_)) ::tcsetattr(fd_, TCSANOW, &own_);
}

}  // namespace zeroth
