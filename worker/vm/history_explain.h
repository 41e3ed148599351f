#pragma once
// Tells from the observations kept where the dominant state changed, and what happened in between, in sentences.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "worker/vm/state.h"

namespace zeroth {

// Two observations one after the other whose dominant states differ.
struct Transition {
  struct Change {
    std::string state;
    double by = 0;  // of |D|; a state that a record does not name counts as 0 there
  };
  std::uint64_t from_iteration = 0, to_iteration = 0;
  std::string from, to;                   // the dominant states
  std::vector<Change> gained, lost;       // largest change first
  std::size_t collapses = 0, merges = 0;  // in between, as far as the lineage is kept
};

struct Explanation {
  std::string text;                     // sentences, one line each, without a last line feed
  std::vector<Transition> transitions;  // oldest first
};

// The newest `limit` transitions.
Explanation explain_history(const State& state, std::size_t limit);

}  // namespace zeroth
