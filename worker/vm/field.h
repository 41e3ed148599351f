#pragma once
// The arithmetic of one iteration over the divergences D. The order of every operation is part of the language (see
// "One iteration" and "Determinism" in its description): these functions may be made faster, never different in a bit.

#include <cstddef>
#include <cstdint>
#include <span>

#include "worker/language/program.h"

namespace zeroth {

// Steps 1: every alignment in order, delta = s (D[b] - D[a]); D[a] += delta; D[b] -= delta.
void align(std::span<double> field, std::span<const Alignment> alignments);

// The sum in its one order: blocks of 4096, eight lanes in each.
double blocked_sum(std::span<const double> field);

// Steps 2, 3 and 5: subtracts the mean, multiplies by `decay`, returns max|D|.
double settle(std::span<double> field, double decay);

// max|D|
double largest_magnitude(std::span<const double> field);

// pow(2, -1/halflife), what one iteration leaves of a divergence. `halflife` is in iterations, above 0.
double decay_of(double halflife);

}  // namespace zeroth
