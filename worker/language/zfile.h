#pragma once
// The compiled form of a program, a .z file: fixed header, names, alignments, all little-endian.
// Deterministic both ways; `was` clauses are not stored.

#include <string>
#include <string_view>

#include "common/result.h"
#include "worker/language/program.h"

namespace zeroth {

// The first bytes of every .z file.
inline constexpr std::string_view kZfileMagic = "Z0RT";

// Version 1 if both counts fit 16 bits, else version 2. `program` must keep its invariants, names at most 65,535 bytes.
std::string encode(const Program& program);

// The program in the whole of a .z file, with its hash. An error begins with "offset N: ", the first byte that is
// wrong.
Result<Program> decode(std::string_view bytes);

}  // namespace zeroth
