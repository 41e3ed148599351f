#pragma once
// The command `env`: what a worker's environment is made of, and reading the env files again. In control_commands.cpp's
// table.

#include "supervisor/control/command_support.h"

namespace zeroth {

// {worker, total, variables: [{name, value: "***", origin}], files, pending, wrong} of one worker, or {total, workers}
// of several; with `reload` also the receipt of each, and `verdict` and `reason` of all.
void show_env(Targets targets, const Peer& peer, const Request& request);

}  // namespace zeroth
