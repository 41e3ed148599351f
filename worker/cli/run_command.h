#pragma once
// `zeroth-worker run FILE --iterations N ...`: a program without a supervisor, as fast as possible. main loads FILE.

#include <span>

#include "worker/cli/arguments.h"
#include "worker/language/program.h"

namespace zeroth {

extern const std::span<const Option> kRunOptions;

// Exit status: 0; 1 if a state cannot be read or written; 2 for a bad option; 66 if the state to read is missing. Says
// what is wrong, and the warnings of a restore, on stderr.
int run_command(Program program, const Arguments& arguments);

}  // namespace zeroth
