#pragma once
// Looks, a second after go, which TCP ports the live worker opened by itself. Two generations cannot hold one port at a
// time, so such a worker is reloaded in mode recreate unless its port is lent to it. Owned by Worker.

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/loop/loop.h"

namespace zeroth {

class PortCheck {
 public:
  // `on_found`: "python3 opens port 3000 itself", in the loop.
  PortCheck(Loop& loop, std::function<void(const std::string&)> on_found)
      : loop_(loop), on_found_(std::move(on_found)), timer_(loop) {}

  // `group`: the worker's process group. `lent`: descriptors of the listening sockets it was given.
  void begin(pid_t group, std::vector<int> lent);
  void cancel();

 private:
  void look(pid_t group, const std::vector<int>& lent);

  Loop& loop_;
  const std::function<void(const std::string&)> on_found_;
  Timer timer_;
  std::shared_ptr<void> round_;  // of the look under way; another one makes it void
};

}  // namespace zeroth
