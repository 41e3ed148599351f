#pragma once
// The living state of a Zero program: everything a state document holds, and nothing that can be computed from it. The
// Vm changes it, state_codec reads and writes it. The numbers of the states lie in three arrays of one element per
// state.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "worker/vm/dimensions.h"
#include "worker/vm/lineage.h"
#include "worker/vm/observer.h"

namespace zeroth {

// Memory of a state that the program no longer declares.
struct ParkedState {
  std::string name;
  double divergence = 0;
  std::uint64_t support = 0;
  std::uint64_t reinforced_at = 0;
  std::uint64_t iteration = 0;  // of the parking
};

// An alignment set live; applied after the program's own.
struct OverlayEntry {
  std::string a, b;
  double strength = 0;
};

struct State {
  static constexpr std::size_t kParked = 1000;  // the newest kept
  static constexpr double kDefaultHalflife = 100;

  std::uint64_t iteration = 0;  // steps since the first start
  double epsilon = 0;
  double pressure = 0;
  std::vector<std::string> states;  // in declaration order
  std::vector<double> divergence;
  std::vector<std::uint64_t> support;
  std::vector<std::uint64_t> reinforced_at;
  Observations observations;
  Lineage lineage;
  Dimensions dimensions;
  std::vector<ParkedState> parked;  // oldest first
  std::vector<OverlayEntry> overlay;
  double halflife = kDefaultHalflife;
  std::string program_hash;
};

// Largest t with 3^t <= support, -1 for 0.
int tier(std::uint64_t support);

}  // namespace zeroth
