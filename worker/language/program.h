#pragma once
// A Zero program in memory: what the parser makes of a .zero file, what a .z file holds, and what the VM runs.

#include <cstdint>
#include <string>
#include <vector>

namespace zeroth {

// One `align A B strength S`: indices into Program::states, strength in [0, 1].
struct Alignment {
  std::uint32_t a = 0;
  std::uint32_t b = 0;
  double strength = 0;
};

// One `state NEW was OLD`; a .z file does not carry it.
struct Rename {
  std::uint32_t state = 0;  // index of NEW
  std::string was;          // OLD
};

// Invariants (kept by parser and .z loader): at least one state, names unique and valid UTF-8, alignment ends in range
// and different, epsilon finite and above 0.
struct Program {
  std::vector<std::string> states;
  std::vector<Alignment> alignments;
  std::vector<Rename> renames;
  double epsilon = 0;
  bool seed_potential = true;
  std::string hash;  // XXH3-128 of the file's bytes, 32 hex digits
};

}  // namespace zeroth
