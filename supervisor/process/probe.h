#pragma once
// Asks a program from outside whether it is ready (--health): one attempt, by a TCP connection or a command. Owned by
// whoever waits for the answer; lives on the loop's thread and never blocks it.

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/loop/loop.h"
#include "common/unique_fd.h"
#include "supervisor/process/child.h"
#include "supervisor/process/listeners.h"

namespace zeroth {

struct HealthCheck {
  enum class Kind {
    Tcp,     // a connection to `address` is accepted
    Exec,    // `argv` exits with 0
    Notify,  // nothing is asked: the program sends READY=1 itself
  };
  Kind kind = Kind::Notify;
  std::string text;  // as it was given
  ListenAddress address;
  std::vector<std::string> argv;
};

// tcp:PORT (on 127.0.0.1), tcp:ADDRESS:PORT with an IP address or "localhost", exec:COMMAND (split at spaces, quotes
// and backslashes as usual, run without a shell), or notify.
Result<HealthCheck> parse_health(std::string_view text);

class Probe {
 public:
  // An attempt takes no longer.
  static constexpr std::chrono::milliseconds kTimeout{1'000};

  // Of a command that is asked: as the program it asks about has them.
  struct Place {
    std::vector<std::string> env;
    std::string cwd;
  };

  // `done` is called once, later, with why not in words; it may destroy the probe. Destroying it earlier ends the
  // attempt, and kills and reaps its process.
  Probe(Loop& loop, const HealthCheck& check, const Place& place, std::function<void(Status)> done);

  // Its process, 0 if it has none.
  pid_t pid() const { return child_ && child_->running() ? child_->pid() : 0; }

 private:
  void connect(const ListenAddress& address);
  void on_connected(const ListenAddress& address);
  void run(const std::vector<std::string>& argv, const Place& place);
  void on_exit(const ExitInfo& info);
  void finish(Status outcome);

  Loop& loop_;
  std::function<void(Status)> done_;
  Timer timeout_;
  UniqueFd socket_;
  std::unique_ptr<FdWatch> watch_;
  std::unique_ptr<Child> child_;
  std::string said_;  // the end of what its process printed
  bool late_ = false;
};

}  // namespace zeroth
