#pragma once
// `zeroth-worker run FILE --iterations N ...`: a program without a supervisor, as fast as possible.

#include <span>

namespace zeroth {

// FILE --iterations N [--state-in F] [--state-out F] [--halflife H] [--observe-at 5,9,100]. Exit status: 0; 1 if a
// state cannot be read or written; 2 for a bad option; 65 if the program does not compile; 66 if a file is missing.
// Says what is wrong, and the warnings of a restore, on stderr.
int run_command(std::span<char* const> words);

}  // namespace zeroth
