#include "worker/vm/field.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace zeroth {
namespace {

constexpr std::size_t kBlock = 4096;
constexpr std::size_t kLanes = 8;
constexpr std::size_t kPairs = kLanes / 2;
using Pair = double __attribute__((vector_size(16)));  // two lanes: what every x86-64 and AArch64 adds at once

Pair load(const double* from) {
  Pair pair;
  std::memcpy(&pair, from, sizeof pair);
  return pair;
}

double sum_block(const double* d, std::size_t count) {
  Pair pairs[kPairs] = {};
  const std::size_t whole = count / kLanes * kLanes;
  for (std::size_t k = 0; k < whole; k += kLanes) {
#pragma GCC unroll 4
    for (std::size_t p = 0; p < kPairs; ++p) pairs[p] += load(d + k + 2 * p);
  }
  double lanes[kLanes];
  std::memcpy(lanes, pairs, sizeof lanes);
  for (std::size_t k = whole; k < count; ++k) lanes[k - whole] += d[k];
  return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

}  // namespace

void align(std::span<double> field, std::span<const Alignment> alignments) {
  double* const d = field.data();
  for (const Alignment& alignment : alignments) {
    const double a = d[alignment.a], b = d[alignment.b];
    const double delta = alignment.strength * (b - a);
    d[alignment.a] = a + delta;
    d[alignment.b] = b - delta;
  }
}

double blocked_sum(std::span<const double> field) {
  const double* const d = field.data();
  const std::size_t count = field.size();
  double sum = sum_block(d, std::min(kBlock, count));
  for (std::size_t at = kBlock; at < count; at += kBlock) sum += sum_block(d + at, std::min(kBlock, count - at));
  return sum;
}

double settle(std::span<double> field, double decay) {
  const double mean = blocked_sum(field) / static_cast<double>(field.size());
  double* const d = field.data();
  const std::size_t count = field.size();
  const std::size_t whole = count / kLanes * kLanes;
  Pair largest[kPairs] = {};
  for (std::size_t k = 0; k < whole; k += kLanes) {
#pragma GCC unroll 4
    for (std::size_t p = 0; p < kPairs; ++p) {
      const Pair value = (load(d + k + 2 * p) - mean) * decay;
      std::memcpy(d + k + 2 * p, &value, sizeof value);
      largest[p] = value > largest[p] ? value : largest[p];
      largest[p] = -value > largest[p] ? -value : largest[p];
    }
  }
  double result = 0;
  for (const Pair& pair : largest) result = std::max({result, pair[0], pair[1]});
  for (std::size_t k = whole; k < count; ++k) {
    d[k] = (d[k] - mean) * decay;
    result = std::max(result, std::fabs(d[k]));
  }
  return result;
}

double largest_magnitude(std::span<const double> field) {
  double largest = 0;
  for (const double value : field) largest = std::max(largest, std::fabs(value));
  return largest;
}

double decay_of(double halflife) {
  volatile double base = 2.0;  // or a compiler may make it exp2, which may round differently
  return std::pow(base, -1.0 / halflife);
}

}  // namespace zeroth
