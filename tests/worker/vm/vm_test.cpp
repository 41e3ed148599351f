#include "worker/vm/vm.h"

#include <doctest/doctest.h>

#include <cerrno>
#include <cmath>

#include "tests/worker/vm/programs.h"
#include "worker/vm/field.h"

namespace zeroth {
namespace {

using Doubles = std::vector<double>;

Record observe(Vm& vm, bool passive = false) {
  return vm.observe({.passive = passive})->seen;
}

}  // namespace

TEST_CASE("vm: the worked example comes out to the last bit") {
  Vm vm = Vm::create(day_program());
  CHECK(vm.state().divergence == Doubles{-1, 0, 0});
  run(vm, 1);
  CHECK(vm.state().divergence == Doubles{0.12248140777056772, -0.36413391499357983, 0.24165250722301204});
  run(vm, 2);
  CHECK(vm.state().divergence == Doubles{0.002715279538343469, -0.06232704300410673, 0.05961176346576325});
  run(vm, 9);
  CHECK(vm.state().lineage.total() == 0);
  run(vm, 1);
  CHECK(vm.state().lineage.total() == 1);
  CHECK(vm.state().lineage.items().front().iteration == 13);
  CHECK(vm.state().divergence == Doubles{-1.0000177195240183, -5.72722267417978e-05, 7.499175075999507e-05});
}

TEST_CASE("vm: a halflife of 100 iterations leaves 0.9930924954370359 of a divergence") {
  CHECK(decay_of(100) == 0.9930924954370359);
  CHECK(decay_of(1) == 0.5);
}

TEST_CASE("vm: without the seed flag a start is all 0, and a collapse seeds the first state all the same") {
  Program program = day_program();
  program.seed_potential = false;
  Vm vm = Vm::create(program);
  CHECK(vm.state().divergence == Doubles{0, 0, 0});
  run(vm, 1);
  CHECK(vm.state().lineage.total() == 1);
  CHECK(vm.state().divergence == Doubles{-1, 0, 0});
}

TEST_CASE("vm: a collapse needs a convergence below epsilon, not equal to it") {
  Program program = plain_program({"A", "B"});
  program.epsilon = 0.01;
  program.seed_potential = false;
  Vm vm = Vm::create(program, 1e300);  // decays by nothing
  REQUIRE(vm.observe({}).has_value());
  CHECK(vm.state().pressure == 0.01);
  run(vm, 3);
  CHECK(vm.state().lineage.total() == 0);
}

TEST_CASE("vm: a collapse opens a dimension only when none is waiting") {
  Program program = plain_program({"A", "B"});
  program.epsilon = 100;
  Vm vm = Vm::create(program);
  run(vm, 3);
  CHECK(vm.state().lineage.total() == 3);
  REQUIRE(vm.state().dimensions.all().size() == 1);
  const Dimension& dimension = vm.state().dimensions.all()[0];
  CHECK(dimension.id == 0);
  CHECK(dimension.vector == std::vector<std::int8_t>{-1, -1});
  CHECK(dimension.active);
  CHECK_FALSE(dimension.resolved);
  REQUIRE(dimension.lineage.size() == 1);
  CHECK(dimension.lineage[0].iteration == 1);
  CHECK(dimension.lineage[0].sources.empty());
}

TEST_CASE("vm: being watched adds pressure up to a tenth, neglect lets it decay") {
  Vm vm = Vm::create(day_program());
  for (int i = 0; i < 20; ++i) observe(vm);
  CHECK(vm.state().pressure == 0.1);
  run(vm, 1);
  CHECK(vm.state().pressure == 0.1 * 0.9930924954370359);
}

TEST_CASE("vm: an observation tells the values before its own effect") {
  Vm vm = Vm::create(day_program());
  observe(vm);
  const Record second = observe(vm);
  CHECK(second.iteration == 0);
  CHECK(second.observation_pressure == 0.01);
  CHECK(second.field_convergence == 1);
  CHECK(second.convergence == 1.01);
  CHECK(second.dominant_state == "DAWN");
  CHECK(vm.state().observations.total() == 2);
  CHECK(vm.state().observations.items()[1].observation_pressure == 0.01);
  CHECK(vm.state().support == std::vector<std::uint64_t>{2, 0, 0});
}

TEST_CASE("vm: a passive observation leaves no trace") {
  Vm vm = Vm::create(day_program());
  run(vm, 14);
  const std::string before = encode_state(vm.state());
  const auto seen = vm.observe({.passive = true});
  CHECK_FALSE(seen->recorded);
  CHECK(seen->seen.projection.size() == 3);
  CHECK(encode_state(vm.state()) == before);
}

TEST_CASE("vm: a target narrows the projection returned, not the record") {
  Vm vm = Vm::create(day_program());
  const auto seen = vm.observe({.target = "NOON"});
  REQUIRE(seen->seen.projection.size() == 1);
  CHECK(seen->seen.projection[0].state == "NOON");
  CHECK(vm.state().observations.items()[0].projection.size() == 3);
  const auto missing = vm.observe({.target = "NOONE"});
  CHECK(missing.error().code == ENOENT);
  CHECK(missing.error().message == "no state 'NOONE', did you mean 'NOON'?");
  CHECK(vm.state().observations.total() == 1);
}

TEST_CASE("vm: a record keeps the sixteen largest, ties to the first declared") {
  Vm vm = Vm::create(numbered_program(40));
  REQUIRE(vm.inject("S7", 5).has_value());
  REQUIRE(vm.inject("S30", -9).has_value());
  const auto seen = vm.observe({.limit = 20});
  CHECK(seen->seen.projection.size() == 20);
  const Record& record = vm.state().observations.items()[0];
  REQUIRE(record.projection.size() == 16);
  CHECK(record.dominant_state == "S30");
  const char* expected[] = {"S30", "S7", "S0", "S1",  "S2",  "S3",  "S4",  "S5",
                            "S6",  "S8", "S9", "S10", "S11", "S12", "S13", "S14"};
  for (std::size_t i = 0; i < 16; ++i) CHECK(record.projection[i].state == expected[i]);
}

TEST_CASE("vm: the dominant token gains support and remembers when; tiers are powers of three") {
  Vm vm = Vm::create(day_program());
  run(vm, 1);
  observe(vm);
  CHECK(vm.state().support == std::vector<std::uint64_t>{0, 1, 0});
  CHECK(vm.state().reinforced_at == std::vector<std::uint64_t>{0, 1, 0});
  CHECK(tier(0) == -1);
  CHECK(tier(1) == 0);
  CHECK(tier(2) == 0);
  CHECK(tier(3) == 1);
  CHECK(tier(26) == 2);
  CHECK(tier(27) == 3);
  CHECK(tier(UINT64_MAX) == 40);
}

TEST_CASE("vm: ten thousand observations and a thousand lineage entries are kept, all are counted") {
  Program program = plain_program({"A"});
  program.epsilon = 1e9;
  Vm vm = Vm::create(program);
  for (int i = 0; i < 10005; ++i) {
    vm.step();
    observe(vm);
  }
  CHECK(vm.state().observations.total() == 10005);
  CHECK(vm.state().observations.items().size() == 10000);
  CHECK(vm.state().observations.items().front().iteration == 6);
  CHECK(vm.state().lineage.total() == 10005);
  CHECK(vm.state().lineage.items().size() == 1000);
}

TEST_CASE("vm: an injection changes one divergence, within limits") {
  Vm vm = Vm::create(day_program());
  CHECK(vm.inject("NOON", 1e6).has_value());
  CHECK(vm.state().divergence == Doubles{-1, 1e6, 0});
  const std::string before = encode_state(vm.state());
  for (const double bad : {1.1e6, -1.1e6, std::nan(""), HUGE_VAL}) CHECK(vm.inject("NOON", bad).error().code == EINVAL);
  CHECK(vm.inject("NIGHT", 1).error().code == ENOENT);
  CHECK(encode_state(vm.state()) == before);
}

TEST_CASE("vm: a live alignment acts after the program's, and setting the pair again replaces it in place") {
  Vm live = Vm::create(plain_program({"A", "B", "C"}));
  REQUIRE(live.set_overlay("A", "B", 0.5).has_value());
  REQUIRE(live.set_overlay("B", "A", 0.25).has_value());
  REQUIRE(live.set_overlay("A", "B", 0.75).has_value());
  REQUIRE(live.set_overlay("B", "A", 0).has_value());
  REQUIRE(live.state().overlay.size() == 2);
  CHECK(live.state().overlay[0].strength == 0.75);
  CHECK(live.state().overlay[1].strength == 0);
  Program program = plain_program({"A", "B", "C"});
  program.alignments = {{0, 1, 0.75}};
  Vm written = Vm::create(program);
  run(live, 5), run(written, 5);
  CHECK(live.state().divergence == written.state().divergence);
}

TEST_CASE("vm: an impossible live alignment is refused and changes nothing") {
  Vm vm = Vm::create(day_program());
  CHECK(vm.set_overlay("DAWN", "NOON", 1.5).error().code == EINVAL);
  CHECK(vm.set_overlay("DAWN", "NOON", std::nan("")).error().code == EINVAL);
  CHECK(vm.set_overlay("DAWN", "DAWN", 0.5).error().code == EINVAL);
  CHECK(vm.set_overlay("DAWN", "NIGHT", 0.5).error().code == ENOENT);
  CHECK(vm.set_overlay("NIGHT", "DAWN", 0.5).error().code == ENOENT);
  CHECK(vm.state().overlay.empty());
}

TEST_CASE("vm: converge commits only a field that has converged") {
  Vm vm = Vm::create(day_program());
  CHECK_FALSE(vm.converge(true).converged);
  CHECK(vm.state().lineage.total() == 0);
  Program calm = day_program();
  calm.seed_potential = false;
  Vm still = Vm::create(calm);
  CHECK(still.converge(false).converged);
  CHECK(still.state().lineage.total() == 0);
  const Convergence committed = still.converge(true);
  CHECK(committed.converged);
  CHECK(committed.convergence == 0);
  CHECK(committed.epsilon == 0.0001);
  CHECK(still.state().lineage.total() == 1);
  CHECK(still.state().divergence == Doubles{-1, 0, 0});
}

}  // namespace zeroth
