#pragma once
// A state meets changed code: matches the states of a restored document with those a program declares, by name, by
// `was`, then among the parked, and tells what became of each.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "worker/language/program.h"
#include "worker/vm/state.h"

namespace zeroth {

struct RestoreReport {
  struct Renamed {
    std::string was, name;
  };
  std::vector<std::string> kept;     // by name only, in declaration order
  std::vector<std::string> added;    // new, or returned from the parked
  std::vector<std::string> removed;  // parked now, in the order they were declared
  std::vector<Renamed> renamed;
  std::vector<std::string> rewritten;  // members of the document that are not what they were, by what the program says
  std::vector<std::string> warnings;
};

// `now` is the state of a new program (names, epsilon, hash are used) and becomes the restored one. `halflife` is the
// one asked for, if any. `from` must hold what decode_state promises.
RestoreReport restore_state(State& now, State from, std::span<const Rename> renames, std::optional<double> halflife);

}  // namespace zeroth
