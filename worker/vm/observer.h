#pragma once
// What an observation sees of the field, and the log of what was seen.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "worker/vm/newest.h"

namespace zeroth {

struct Projected {
  std::string state;
  double divergence = 0;
};

struct Record {
  static constexpr std::size_t kProjected = 16;  // states a kept record names

  std::uint64_t iteration = 0;
  double timestamp = 0;  // wall clock, seconds
  std::string dominant_state;
  double convergence = 0;  // field_convergence + observation_pressure
  double field_convergence = 0;
  double observation_pressure = 0;
  std::vector<Projected> projection;  // largest |D| first, ties to the first declared
};

using Observations = Newest<Record, 10000>;

// Indices of the `limit` largest |D|, largest first, ties to the lower index.
std::vector<std::uint32_t> largest(std::span<const double> field, std::size_t limit);

}  // namespace zeroth
