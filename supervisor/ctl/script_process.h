#pragma once
// The command of `zerothctl worker run`: started, signalled and reaped by it. A process group of its own, so that what
// a script has started ends with it; killed by the kernel if we are.

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/result.h"

namespace zeroth {

class ScriptProcess {
 public:
  // `variables` are set for it, "" removes one. Fails if it cannot be executed, with errno.
  static Result<ScriptProcess> start(const std::vector<std::string>& argv,
                                     const std::vector<std::pair<std::string, std::string>>& variables);

  pid_t pid() const { return pid_; }
  // To it alone: its helpers would die of it.
  void signal(int number) const;
  // To it and all that it has started.
  void signal_group(int number) const;
  // Kills it and all that it has started, and waits for its end.
  void end_now();
  // Its status as of waitpid() once it has ended; what is left of its group is killed then. Does not wait.
  std::optional<int> reap();

 private:
  ScriptProcess(pid_t pid, bool own_group) : pid_(pid), own_group_(own_group) {}
  pid_t pid_;
  bool own_group_;  // else it is in ours: it reads the terminal
};

// Whether `command` names something that can be executed, by $PATH as execvp() looks for it.
bool can_execute(const std::string& command);

// Ends this process as the one with that status ended: with its code, or by its signal.
[[noreturn]] void end_as(int status);

}  // namespace zeroth
