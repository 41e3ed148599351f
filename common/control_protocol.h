#pragma once
// What zerothctl and the supervisor say to each other on the control socket, protocol version 1: the supervisor's
// commands, and where the socket is. The message shape is common/message.h; commands that are not in the table belong
// to the worker and are passed on to it.
//
// Version history: 1 — ping version status config metrics start stop restart reload rollback check checkpoint snapshots
// snapshot pin unpin diff export import generations logs events env shutdown start-all stop-all rolling-restart (also
// with underscores).

#include <span>
#include <string>
#include <string_view>

#include "common/unix_socket.h"

namespace zeroth {

inline constexpr int kControlProtocol = 1;

struct SupervisorCommand {
  std::string_view name;
  std::string_view params;  // for help: "{worker?}"
  std::string_view help;    // one line
};
std::span<const SupervisorCommand> supervisor_commands();

// Null if there is none of that name.
const SupervisorCommand* find_supervisor_command(std::string_view name);

// Where the instance with this runtime folder listens: <runtime>/control.sock, or where that is too long
// /tmp/zeroth-<uid>/<16 hex of the hash of that path>.sock.
std::string control_socket_path(const std::string& runtime_dir);

}  // namespace zeroth
