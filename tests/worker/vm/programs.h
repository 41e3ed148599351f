#pragma once
// Programs and comparisons the tests of the VM share.

#include <bit>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "worker/vm/state_codec.h"
#include "worker/vm/vm.h"

namespace zeroth {

inline Program plain_program(std::vector<std::string> states) {
  Program program;
  program.states = std::move(states);
  program.epsilon = 0.0001;
  program.hash = "00000000000000000000000000000001";
  return program;
}

// The worked example of the language.
inline Program day_program() {
  Program program = plain_program({"DAWN", "NOON", "DUSK"});
  program.alignments = {{0, 1, 0.7}, {0, 2, 0.3}};
  return program;
}

// S0, S1, ... without alignments and seed.
inline Program numbered_program(std::size_t count) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < count; ++i) names.push_back("S" + std::to_string(i));
  Program program = plain_program(std::move(names));
  program.seed_potential = false;
  return program;
}

inline void run(Vm& vm, std::uint64_t iterations) {
  for (; iterations > 0; --iterations) vm.step();
}

// Small and odd programs more often than large ones.
inline Program random_program(std::mt19937_64& random, std::size_t most_states) {
  std::uniform_real_distribution<double> unit(0, 1);
  const auto below = [&](std::size_t limit) { return static_cast<std::uint32_t>(random() % limit); };
  Program program = numbered_program(1 + below(1 + below(most_states)));
  const std::size_t count = program.states.size();
  for (std::size_t i = count > 1 ? below(4 * count) : 0; i > 0; --i) {
    const std::uint32_t a = below(count), b = (a + 1 + below(count - 1)) % static_cast<std::uint32_t>(count);
    program.alignments.push_back({a, b, below(8) == 0 ? 1.0 : unit(random)});
  }
  program.epsilon = std::pow(10.0, -6 * unit(random));
  program.seed_potential = below(4) != 0;
  return program;
}

}  // namespace zeroth
