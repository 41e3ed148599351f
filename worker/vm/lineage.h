#pragma once
// What happened to the field and its dimensions: the newest 1,000 collapses and merges, and how many there ever were.

#include <cstdint>
#include <vector>

#include "worker/vm/newest.h"

namespace zeroth {

struct LineageEntry {
  enum class Kind {
    Collapse,  // the field converged; `convergence` is max|D| before it, without the pressure
    Merge,     // two equal dimensions became one; `sources` are their ids
  };
  std::uint64_t iteration = 0;
  Kind kind = Kind::Collapse;
  double convergence = 0;
  std::vector<std::uint64_t> sources;
};

using Lineage = Newest<LineageEntry, 1000>;

}  // namespace zeroth
