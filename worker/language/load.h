#pragma once
// A program from a file, source or compiled. Called by every verb that is given one.

#include <string>
#include <tl/expected.hpp>

#include "common/diagnostic.h"
#include "worker/language/program.h"

namespace zeroth {

// Why there is no program: what to tell (render it with the name the user knows the file by) and how to exit (one of
// common/exit_codes.h: 65 for what is in the file, 66, 77 or 1 for the file itself).
struct LoadFailure {
  int exit_code;
  Diagnostics diagnostics;
};
using LoadResult = tl::expected<Program, LoadFailure>;

// Reads the regular file at `path`, at most 2 GiB; never blocks on a FIFO or a device. It is compiled if it begins with
// the magic or is named .z, else source.
LoadResult load_program(const std::string& path);

}  // namespace zeroth
