#pragma once
// `zerothctl worker run --state FILE [--state-signal NAME | --state-command CMD] -- COMMAND…`: a worker made of any
// command that keeps its state in a file.

namespace zeroth {

struct Invocation;

// Returns only on an error before the command is started, or without having had a supervisor.
int run_worker(const Invocation& call);

}  // namespace zeroth
