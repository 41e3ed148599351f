#pragma once
// `zeroth-worker serve FILE`: the built-in worker under a supervisor.

#include <span>

namespace zeroth {

// FILE [--rate R] [--halflife H] [--path SHOWN] [--diagnostics=text|json]. Says hello on the channel before the program
// is read. Exit status: as Host::run(); 2 without a channel or for a bad option; 65, 66, 77 as load_program says.
int serve_command(std::span<char* const> words);

}  // namespace zeroth
