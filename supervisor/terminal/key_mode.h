#pragma once
// The mode of our terminal in which each key comes at once and is not shown; Ctrl-C and Ctrl-Z stay signals. Whatever
// ends us, the terminal gets its own mode back, as far as a process can see to that.

#include <termios.h>

namespace zeroth {

// We may read from this terminal and change its mode: no shell has put us into the background. False if it is none, or
// gone.
bool in_foreground(int fd);

// Reading or writing in the background is an error or allowed, but never stops the process.
void ignore_background_signals();

class KeyMode {
 public:
  explicit KeyMode(int fd) : fd_(fd) {}
  ~KeyMode() { leave(); }
  KeyMode(const KeyMode&) = delete;
  KeyMode& operator=(const KeyMode&) = delete;

  // False, and nothing is changed, in the background.
  bool enter();
  void leave();
  // As they were when it was last entered.
  const termios& own_modes() const { return own_; }

 private:
  const int fd_;
  termios own_{};
  bool entered_ = false;
};

}  // namespace zeroth
