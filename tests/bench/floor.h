#pragma once
// What no supervisor on this machine can beat: a process that waits for one thing and starts a tiny static program,
// which writes a mark. Each object is such a process of its own; bench_reload takes the times.

#include <sys/types.h>

#include <string>

#include "common/unique_fd.h"

namespace zeroth {

class Floor {
 public:
  enum class Waits {
    ForClose,  // inotify IN_CLOSE_WRITE of `file`, then posix_spawn
    ForDeath   // waitid for its child, then posix_spawn of the next
  };
  // `mark` is the program to start.
  Floor(Waits waits, const std::string& mark, const std::string& file);
  ~Floor();
  Floor(const Floor&) = delete;
  Floor& operator=(const Floor&) = delete;

  // Waits for the next mark; exits the bench if none comes within ten seconds.
  void await_mark();
  // The program that wrote the last mark; only of ForDeath.
  pid_t child() const { return child_; }

 private:
  UniqueFd marks_;     // a byte from each started program
  UniqueFd children_;  // ForDeath: the pid of each
  pid_t process_ = -1;
  pid_t child_ = -1;
};

}  // namespace zeroth
