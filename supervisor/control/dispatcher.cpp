#include "supervisor/control/dispatcher.h"

#include <algorithm>
#include <utility>

#include "common/text.h"

namespace zeroth {

namespace {

// "stop_all" is "stop-all".
bool is_called(std::string_view name, std::string_view asked) {
  return std::equal(name.begin(), name.end(), asked.begin(), asked.end(),
                    [](char ours, char theirs) { return ours == theirs || (ours == '-' && theirs == '_'); });
}

}  // namespace

Dispatcher::Dispatcher(std::vector<Command> commands, WorkerCommands worker)
    : commands_(std::move(commands)), worker_(std::move(worker)) {}

void Dispatcher::operator()(const std::shared_ptr<Connection>& connection, const Request& request) const {
  for (const Command& command : commands_) {
    if (is_called(command.name, request.command)) return command.run(connection, request);
  }
  if (worker_.takes && worker_.takes(request.command)) return worker_.forward(connection, request);
  const std::vector<std::string> announced = worker_.names ? worker_.names() : std::vector<std::string>();
  std::vector<std::string_view> known(announced.begin(), announced.end());
  for (const Command& command : commands_) known.push_back(command.name);
  const std::string_view meant = nearest(request.command, known);
  connection->reply(encode_refusal(
      request.id, {ErrorCode::UnknownCommand, "unknown command '" + escape_control(request.command.substr(0, 64)) + "'",
                   meant.empty() ? "" : "did you mean '" + std::string(meant) + "'?", nullptr}));
}

}  // namespace zeroth
