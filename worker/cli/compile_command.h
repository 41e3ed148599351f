#pragma once
// `zeroth-worker compile` and `zeroth-worker check`: verbs of the table in worker/main.cpp.

#include <span>

namespace zeroth {

// Both take the words behind the verb and return the exit status (common/exit_codes.h): 0, 2, 65, 66, 77, or 1.

// IN.zero [OUT.z] [--diagnostics=text|json]: writes the program compiled, by default beside IN; OUT is replaced as a
// whole or not at all.
int compile_command(std::span<char* const> words);

// FILE [--diagnostics=text|json]: says on stdout what the program consists of.
int check_command(std::span<char* const> words);

}  // namespace zeroth
