#include "common/signals.h"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <initializer_list>

namespace zeroth {
namespace {

void mask_stop_signals(int how) {
  sigset_t stop;
  sigemptyset(&stop);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&stop, number);
  pthread_sigmask(how, &stop, nullptr);
}

}  // namespace

void reset_signals() {
  // Only "ignored" survives exec; a handler found here belongs to a sanitizer and stays.
  for (int number = 1; number < NSIG; ++number) {
    struct sigaction action = {};
    if (sigaction(number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN) std::signal(number, SIG_DFL);
  }
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

void hold_stop_signals() {
  mask_stop_signals(SIG_BLOCK);
}

void let_stop_signals_through() {
  mask_stop_signals(SIG_UNBLOCK);
}

void claim_standard_streams() {
  for (int fd = ::open("/dev/null", O_RDWR); fd >= 0; fd = ::open("/dev/null", O_RDWR)) {
    if (fd <= STDERR_FILENO) continue;
    ::close(fd);
    return;
  }
}

}  // namespace zeroth
