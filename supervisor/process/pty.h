#pragma once
// Pseudo-terminals for workers: what they print to looks like a terminal of a known size, so they colour it and write
// line by line. Opened by spawn(); the size is kept in step by Child.

#include <termios.h>

#include <optional>

#include "common/result.h"
#include "common/unique_fd.h"

namespace zeroth {

// In characters.
struct TerminalSize {
  unsigned short rows = 24;
  unsigned short columns = 80;
  bool operator==(const TerminalSize&) const = default;
};

// Of the terminal behind a descriptor; nullopt if there is none or it does not know its size.
std::optional<TerminalSize> terminal_size(int fd);

// What a worker gets instead of pipes.
struct WorkerTerminal {
  TerminalSize size;
  // Its stdin as well, with echo and line editing by these modes, and its controlling terminal. Else it gets two, one
  // for each output, that control nobody.
  std::optional<termios> typed;
};

struct Pty {
  UniqueFd master, slave;
};
// A line feed that is written to the slave comes out of the master as one, whatever the modes say.
Result<Pty> open_pty(const WorkerTerminal& terminal);

// Through either end. An error would change nothing for anybody.
void set_terminal_size(int fd, TerminalSize size);

}  // namespace zeroth
