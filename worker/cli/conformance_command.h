#pragma once
// `zeroth-worker conformance -- CMD…`: does a worker follow the worker protocol? A verb of the table in
// worker/main.cpp.

#include <span>

namespace zeroth {

// [--demands] -- CMD…: tries every rule on fresh processes of CMD and prints one line a rule, then a summary. Exit
// status: 0 if all hold, 1 if one does not, 2 for a bad command line, 127 if CMD cannot be run.
int conformance_command(std::span<char* const> words);

}  // namespace zeroth
