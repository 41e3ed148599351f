// An independent, slow reading of "One iteration" against the fast one, bit for bit.
#include "worker/vm/field.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "tests/worker/vm/programs.h"

namespace zeroth {
namespace {

double sum_as_written(const std::vector<double>& d) {
  double total = 0;
  for (std::size_t block = 0; block * 4096 < d.size(); ++block) {
    double lane[8];
    for (std::size_t l = 0; l < 8; ++l) {
      lane[l] = 0;
      for (std::size_t k = block * 4096; k < (block + 1) * 4096 && k < d.size(); ++k) {
        if (k % 8 == l) lane[l] = lane[l] + d[k];
      }
    }
    const double value = ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
    total = block == 0 ? value : total + value;
  }
  return total;
}

struct SlowVm {
  std::vector<double> d;
  double pressure = 0;
  std::uint64_t iteration = 0, collapses = 0;

  void step(const Program& program, double lambda) {
    for (const Alignment& x : program.alignments) {
      const double delta = x.strength * (d[x.b] - d[x.a]);
      d[x.a] += delta;
      d[x.b] -= delta;
    }
    const double m = sum_as_written(d) / static_cast<double>(d.size());
    for (double& value : d) value -= m;
    for (double& value : d) value *= lambda;
    pressure *= lambda;
    iteration += 1;
    double c = 0;
    for (const double value : d) c = std::fabs(value) > c ? std::fabs(value) : c;
    if (c + pressure < program.epsilon) {
      ++collapses;
      d[0] += -1;
    }
  }
};

bool same_bits(const std::vector<double>& x, const std::vector<double>& y) {
  return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size() * sizeof(double)) == 0;
}

}  // namespace

TEST_CASE("field: an iteration gives the bits of the text, for any program") {
  std::mt19937_64 random(1);
  for (int i = 0; i < 200; ++i) {
    const Program program = random_program(random, i % 10 == 0 ? 20000 : 40);
    Vm vm = Vm::create(program);
    for (int k = 0; k < 5; ++k) {
      const auto state = program.states[random() % program.states.size()];
      REQUIRE(vm.inject(state, std::uniform_real_distribution<double>(-1e6, 1e6)(random)).has_value());
    }
    SlowVm slow{vm.state().divergence};
    for (int step = 0; step < 30; ++step) {
      vm.step();
      slow.step(program, 0.9930924954370359);
      REQUIRE(same_bits(vm.state().divergence, slow.d));
    }
    REQUIRE(vm.state().lineage.total() == slow.collapses);
    REQUIRE(vm.state().iteration == slow.iteration);
  }
}

TEST_CASE("field: the sum has its one order at every length") {
  std::mt19937_64 random(2);
  std::uniform_real_distribution<double> value(-1, 1);
  for (const std::size_t count : {1, 2, 7, 8, 9, 15, 4095, 4096, 4097, 8191, 8192, 8200, 12289}) {
    std::vector<double> d(count);
    for (double& x : d) x = value(random) * std::pow(2.0, static_cast<double>(random() % 60));
    const double fast = blocked_sum(d), slow = sum_as_written(d);
    CHECK(std::bit_cast<std::uint64_t>(fast) == std::bit_cast<std::uint64_t>(slow));
  }
}

TEST_CASE("field: a sum of negative zeros is zero, and zeros keep their signs through an iteration as written") {
  CHECK_FALSE(std::signbit(blocked_sum(std::vector<double>{-0.0, -0.0})));
  std::vector<double> d(9, -0.0);
  CHECK(settle(d, 0.5) == 0);
  for (const double x : d) CHECK(std::signbit(x));
}

TEST_CASE("field: the largest magnitude is found in every lane and in the rest") {
  for (std::size_t k = 0; k < 21; ++k) {
    std::vector<double> d(21, 0.0);
    d[k] = k % 2 == 0 ? -21 : 21;
    std::vector<double> settled = d;
    CHECK(settle(settled, 1) == 20);
    CHECK(largest_magnitude(d) == 21);
  }
}

TEST_CASE("field: subnormal divergences are not flushed") {
  std::vector<double> d = {3 * 4.9406564584124654e-324, -3 * 4.9406564584124654e-324};
  CHECK(settle(d, 0.5) > 0);
  CHECK(d[0] != 0);
}

}  // namespace zeroth
