#include "supervisor/process/pty.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>

namespace zeroth {

std::optional<TerminalSize> terminal_size(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) return std::nullopt;
  return TerminalSize{size.ws_row, size.ws_col};
}

void set_terminal_size(int fd, TerminalSize size) {
  winsize set{};
  set.ws_row = size.rows;
  set.ws_col = size.columns;
  (void)::ioctl(fd, TIOCSWINSZ, &set);
}

Result<Pty> open_pty(const WorkerTerminal& terminal) {
  Pty pty;
  pty.master.reset(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!pty.master) return fail(last_error("open a pseudo-terminal"));
  if (::grantpt(pty.master.get()) != 0 || ::unlockpt(pty.master.get()) != 0)
    return fail(last_error("unlock a pseudo-terminal"));
  // Not by its name: that is another's in another mount namespace.
  pty.slave.reset(::ioctl(pty.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!pty.slave) return fail(last_error("open the other end of a pseudo-terminal"));
  termios modes{};
  if (::tcgetattr(pty.slave.get(), &modes) != 0) return fail(last_error("modes of a pseudo-terminal"));
  if (terminal.typed) {
    modes = *terminal.typed;
  } else {
    modes.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  }
  modes.c_oflag &= ~static_cast<tcflag_t>(OPOST);
  if (::tcsetattr(pty.slave.get(), TCSANOW, &modes) != 0) return fail(last_error("modes of a pseudo-terminal"));
  set_terminal_size(pty.master.get(), terminal.size);
  return pty;
}

}  // namespace zeroth
