#pragma once
// What is typed at our terminal, while we are in the foreground. In the background it reads nothing and changes
// nothing, for then the terminal is the shell's; its owner asks again by resume().

#include <functional>
#include <memory>
#include <string_view>

#include "common/loop/loop.h"
#include "common/unique_fd.h"
#include "supervisor/terminal/key_mode.h"

namespace zeroth {

class Keyboard {
 public:
  // Null if stdin is no terminal, or cannot be opened a second time: what libuv does to a descriptor is not to be seen
  // by those who share it.
  static std::unique_ptr<Keyboard> open(Loop& loop, std::function<void(std::string_view)> on_bytes);

  // Reads, if we are in the foreground now.
  void resume();
  // Reads no more and gives the terminal its own mode back.
  void suspend();
  bool active() const { return reading_; }
  // Of the terminal, as they are without us.
  termios own_modes() const;

 private:
  Keyboard(Loop& loop, UniqueFd fd, std::function<void(std::string_view)> on_bytes);
  void on_readable();

  UniqueFd fd_;
  FdWatch watch_;
  KeyMode mode_;
  std::function<void(std::string_view)> on_bytes_;
  bool reading_ = false;
  bool gone_ = false;  // hung up
};

}  // namespace zeroth
