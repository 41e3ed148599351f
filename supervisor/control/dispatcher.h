#pragma once
// Which function answers which command: the supervisor's own from one closed table, a live worker's passed on to it.
// The supervisor fills it once and gives it to the ControlServer as its handler.

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/message.h"
#include "supervisor/control/connection.h"

namespace zeroth {

class Dispatcher {
 public:
  struct Command {
    std::string_view name;  // one of supervisor_commands()
    Connection::Handler run;
  };
  // What the live workers have announced, asked anew for each request, and who passes a request on to them.
  struct WorkerCommands {
    std::function<std::vector<std::string>()> names;
    // Also true for any name while the first generation is still on its way and has announced nothing.
    std::function<bool(const std::string&)> takes;
    Connection::Handler forward;
  };

  Dispatcher(std::vector<Command> commands, WorkerCommands worker);

  // Every request is answered: by its function, by the worker, or with unknown_command and the nearest name as hint.
  void operator()(const std::shared_ptr<Connection>& connection, const Request& request) const;

 private:
  std::vector<Command> commands_;
  WorkerCommands worker_;
};

}  // namespace zeroth
