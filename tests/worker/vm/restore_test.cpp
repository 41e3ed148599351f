#include "worker/vm/restore.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "tests/worker/vm/programs.h"

namespace zeroth {
namespace {

using Names = std::vector<std::string>;

// The state a program with other code would be handed: through the document.
State reread(const Vm& vm) {
  return std::move(decode_state(encode_state(vm.state())).value());
}

Program changed_program(Names states, std::vector<Rename> renames = {}) {
  Program program = plain_program(std::move(states));
  program.hash = "00000000000000000000000000000002";
  program.renames = std::move(renames);
  return program;
}

// A, B, C with divergences -1, 2, 3, support of C, a dimension of all -1 resolved to signs.
Vm lived() {
  Program program = plain_program({"A", "B", "C"});
  program.epsilon = 10;
  Vm vm = Vm::create(program, 1e300);
  vm.step();
  CHECK(vm.state().lineage.total() == 1);
  const auto set = [&](const char* name, double value) {
    const double now = vm.state().divergence[*vm.find(name)];
    REQUIRE(vm.inject(name, value - now).has_value());
  };
  set("A", -100), set("B", 200), set("C", 300);
  REQUIRE(vm.observe({.timestamp = 1.5}).has_value());
  return vm;
}

bool mentions(const RestoreReport& report, std::string_view text) {
  return std::any_of(report.warnings.begin(), report.warnings.end(),
                     [&](const std::string& w) { return w.find(text) != w.npos; });
}

double divergence_of(const Vm& vm, std::string_view name) {
  return vm.state().divergence[*vm.find(name)];
}

struct Restored {
  Vm vm;
  RestoreReport report;
};
Restored restore_into(Program program, const Vm& from) {
  Restored restored{Vm::create(std::move(program)), {}};
  restored.report = restored.vm.restore(reread(from));
  return restored;
}

}  // namespace

TEST_CASE("restore: an unchanged program gets back the very document") {
  Vm vm = Vm::create(day_program());
  run(vm, 20);
  REQUIRE(vm.observe({.timestamp = 7.25}).has_value());
  REQUIRE(vm.set_overlay("NOON", "DUSK", 0.125).has_value());
  const Restored restored = restore_into(day_program(), vm);
  CHECK(restored.report.kept == Names{"DAWN", "NOON", "DUSK"});
  CHECK(restored.report.warnings.empty());
  CHECK(encode_state(restored.vm.state()) == encode_state(vm.state()));
}

TEST_CASE("restore: the seed is given at creation only, not even by a restore at iteration 0") {
  const Vm fresh = Vm::create(day_program());
  const Restored restored = restore_into(day_program(), fresh);
  CHECK(restored.vm.state().iteration == 0);
  CHECK(restored.vm.state().divergence == std::vector<double>{-1, 0, 0});
  const Restored changed = restore_into(changed_program({"NEW"}), fresh);
  CHECK(changed.vm.state().divergence == std::vector<double>{0});
}

TEST_CASE("restore: states are matched by name wherever they stand, new ones start from nothing") {
  const Vm old = lived();
  REQUIRE(old.state().dimensions.all()[0].vector == std::vector<std::int8_t>{-1, 1, 1});
  const Restored got = restore_into(changed_program({"NEW", "C", "B", "A"}), old);
  CHECK(got.report.kept == Names{"C", "B", "A"});
  CHECK(got.report.added == Names{"NEW"});
  CHECK(got.report.removed.empty());
  CHECK(got.vm.state().divergence == std::vector<double>{0, 300, 200, -100});
  CHECK(got.vm.state().support == std::vector<std::uint64_t>{0, 1, 0, 0});
  CHECK(got.vm.state().reinforced_at == std::vector<std::uint64_t>{0, 1, 0, 0});
  CHECK(got.vm.state().dimensions.all()[0].vector == std::vector<std::int8_t>{-1, 1, 1, -1});
}

TEST_CASE("restore: history, iteration, pressure and ids carry over; the program's epsilon and hash are taken") {
  const Vm old = lived();
  const Restored got = restore_into(changed_program({"A"}), old);
  CHECK(got.vm.state().iteration == 1);
  CHECK(got.vm.state().pressure == 0.01);
  CHECK(got.vm.state().observations.total() == 1);
  CHECK(got.vm.state().lineage.total() == 1);
  CHECK(got.vm.state().dimensions.next_id() == 1);
  CHECK(got.vm.state().epsilon == 0.0001);
  CHECK(got.vm.state().program_hash == "00000000000000000000000000000002");
}

TEST_CASE("restore: what is no longer declared is parked in declaration order and named with what it had") {
  const Restored got = restore_into(changed_program({"B"}), lived());
  CHECK(got.report.removed == Names{"A", "C"});
  CHECK(mentions(got.report, "'A' is no longer declared: parked with divergence -100"));
  CHECK(mentions(got.report, "'C' is no longer declared: parked with divergence 300"));
  REQUIRE(got.vm.state().parked.size() == 2);
  const ParkedState& parked = got.vm.state().parked[1];
  CHECK(parked.name == "C");
  CHECK(parked.divergence == 300);
  CHECK(parked.support == 1);
  CHECK(parked.reinforced_at == 1);
  CHECK(parked.iteration == 1);
}

TEST_CASE("restore: a parked state returns with its memory and leaves the parked") {
  const Restored without = restore_into(changed_program({"B"}), lived());
  const Restored with = restore_into(changed_program({"C", "B"}), without.vm);
  CHECK(with.report.added == Names{"C"});
  CHECK(mentions(with.report, "'C' returned with divergence 300, parked at iteration 1"));
  CHECK(divergence_of(with.vm, "C") == 300);
  CHECK(with.vm.state().support == std::vector<std::uint64_t>{1, 0});
  CHECK(with.vm.state().dimensions.all()[0].vector == std::vector<std::int8_t>{-1, 1});
  REQUIRE(with.vm.state().parked.size() == 1);
  CHECK(with.vm.state().parked[0].name == "A");
}

TEST_CASE("restore: parking a name again makes one entry, the newest") {
  Restored got = restore_into(changed_program({"B"}), lived());
  got = restore_into(changed_program({"A", "B"}), got.vm);
  REQUIRE(got.vm.inject("A", 50).has_value());
  got.vm.step();
  const double last = divergence_of(got.vm, "A");
  got = restore_into(changed_program({"B"}), got.vm);
  REQUIRE(got.vm.state().parked.size() == 2);
  CHECK(got.vm.state().parked[0].name == "C");
  CHECK(got.vm.state().parked[1].name == "A");
  CHECK(got.vm.state().parked[1].divergence == last);
  CHECK(got.vm.state().parked[1].iteration == 2);
}

TEST_CASE("restore: the newest thousand stay parked") {
  Program many = numbered_program(1203);
  Restored got{Vm::create(many), {}};
  got = restore_into(changed_program({"S0"}), got.vm);
  CHECK(got.report.removed.size() == 1202);
  REQUIRE(got.vm.state().parked.size() == 1000);
  CHECK(got.vm.state().parked.front().name == "S203");
  CHECK(got.vm.state().parked.back().name == "S1202");
  CHECK(mentions(got.report, "oldest 202 forgotten"));
}

TEST_CASE("restore: `was` carries a whole memory to a new name") {
  const Restored got = restore_into(changed_program({"A", "B", "SEA"}, {{2, "C"}}), lived());
  REQUIRE(got.report.renamed.size() == 1);
  CHECK(got.report.renamed[0].was == "C");
  CHECK(got.report.renamed[0].name == "SEA");
  CHECK(got.report.kept == Names{"A", "B"});
  CHECK(got.report.added.empty());
  CHECK(got.report.removed.empty());
  CHECK(divergence_of(got.vm, "SEA") == 300);
  CHECK(got.vm.state().support[2] == 1);
  CHECK(got.vm.state().dimensions.all()[0].vector == std::vector<std::int8_t>{-1, 1, 1});
  const Restored again = restore_into(changed_program({"A", "B", "SEA"}, {{2, "C"}}), got.vm);
  CHECK(again.report.kept == Names{"A", "B", "SEA"});
  CHECK(again.report.warnings.empty());
}

TEST_CASE("restore: `was` with both names present is ignored with a warning, and the old one is removed") {
  const Restored got = restore_into(changed_program({"A", "B"}, {{1, "C"}}), lived());
  CHECK(got.report.kept == Names{"A", "B"});
  CHECK(got.report.renamed.empty());
  CHECK(got.report.removed == Names{"C"});
  CHECK(mentions(got.report, "'B' was 'C' is ignored: both are present"));
  CHECK(divergence_of(got.vm, "B") == 200);
  const Restored again = restore_into(changed_program({"A", "B"}, {{1, "C"}}), got.vm);
  CHECK(again.report.warnings.empty());
  CHECK(again.vm.state().parked.size() == 1);
}

TEST_CASE("restore: `was` finds the old name among the parked too") {
  const Restored parked = restore_into(changed_program({"A", "B"}), lived());
  const Restored got = restore_into(changed_program({"A", "B", "SEA"}, {{2, "C"}}), parked.vm);
  CHECK(divergence_of(got.vm, "SEA") == 300);
  CHECK(got.report.added == Names{"SEA"});
  CHECK(mentions(got.report, "'SEA' returned as 'C' with divergence 300"));
  CHECK(got.vm.state().parked.empty());
}

TEST_CASE("restore: `was` goes before a parked memory of the new name, which is dropped and named") {
  const Restored parked = restore_into(changed_program({"A", "B"}), lived());
  const Restored got = restore_into(changed_program({"A", "C"}, {{1, "B"}}), parked.vm);
  CHECK(divergence_of(got.vm, "C") == 200);
  CHECK(got.report.renamed.size() == 1);
  CHECK(got.vm.state().parked.empty());
  CHECK(mentions(got.report, "'C' has a newer memory; the parked one, divergence 300, is dropped"));
}

TEST_CASE("restore: `was` of a name nobody knows means nothing") {
  const Restored got = restore_into(changed_program({"A", "B", "C", "NEW"}, {{3, "NOBODY"}}), lived());
  CHECK(got.report.added == Names{"NEW"});
  CHECK(got.report.warnings.size() == 1);  // epsilon
}

TEST_CASE("restore: an epsilon changed by a factor of ten is a warning, by less it is not") {
  const auto warned = [](double before, double after) {
    Program program = day_program(), other = day_program();
    program.epsilon = before, other.epsilon = after;
    return mentions(restore_into(other, Vm::create(program)).report, "epsilon changed from");
  };
  CHECK(warned(0.0001, 0.001));
  CHECK(warned(0.001, 0.0001));
  CHECK(warned(3e-6, 3e-5));
  CHECK(warned(1e-300, 1e300));
  CHECK_FALSE(warned(0.0001, 0.00099));
  CHECK_FALSE(warned(0.0001, 0.0001));
}

TEST_CASE("restore: the stored halflife is used unless another one is asked for, with a warning") {
  Vm old = Vm::create(day_program(), 7.0);
  Vm none = Vm::create(day_program());
  CHECK(none.restore(reread(old)).warnings.empty());
  CHECK(none.state().halflife == 7);
  Vm same = Vm::create(day_program(), 7.0);
  CHECK(same.restore(reread(old)).warnings.empty());
  Vm other = Vm::create(day_program(), 9.0);
  CHECK(mentions(other.restore(reread(old)), "halflife changed from 7 to 9"));
  CHECK(other.state().halflife == 9);
  run(old, 3), run(none, 3), run(other, 3);
  CHECK(none.state().divergence == old.state().divergence);
  CHECK(other.state().divergence != old.state().divergence);
}

TEST_CASE("restore: live alignments survive the same program and are dropped by name with another") {
  Vm old = Vm::create(plain_program({"A", "B", "C"}));
  REQUIRE(old.set_overlay("A", "B", 0.5).has_value());
  REQUIRE(old.set_overlay("B", "C", 0).has_value());
  Restored same = restore_into(plain_program({"A", "B", "C"}), old);
  CHECK(same.vm.state().overlay.size() == 2);
  run(old, 5), run(same.vm, 5);
  CHECK(same.vm.state().divergence == old.state().divergence);
  const Restored other = restore_into(changed_program({"A", "B", "C"}), old);
  CHECK(other.vm.state().overlay.empty());
  CHECK(mentions(other.report, "live alignment 'A' 'B' strength 0.5 is dropped"));
  CHECK(mentions(other.report, "live alignment 'B' 'C' strength 0 is dropped"));
}

TEST_CASE("restore: names in warnings cannot speak to a terminal") {
  const Restored got = restore_into(changed_program({"B"}), Vm::create(plain_program({"\x1b[2J", "B"})));
  CHECK(mentions(got.report, "'\\x1b[2J' is no longer declared"));
}

namespace {

// One thing that may happen between two iterations, drawn from `random`.
void disturb(Vm& vm, std::mt19937_64& random) {
  const auto& states = vm.state().states;
  const auto any = [&] { return states[random() % states.size()]; };
  std::uniform_real_distribution<double> unit(0, 1);
  const double amount = unit(random);
  const std::string a = any(), b = any();
  switch (random() % 8) {
    case 0:
    case 1:
      (void)vm.observe({.passive = random() % 4 == 0, .timestamp = amount});
      break;
    case 2:
      (void)vm.inject(a, amount * std::pow(10.0, static_cast<double>(random() % 12) - 6) - amount);
      break;
    case 3:
      (void)vm.set_overlay(a, b, amount);
      break;
    case 4:
      (void)vm.converge(true);
      break;
    default:
      break;
  }
}

void live(Vm& vm, std::uint64_t iterations, std::mt19937_64& random) {
  for (; iterations > 0; --iterations) {
    vm.step();
    disturb(vm, random);
  }
}

}  // namespace

TEST_CASE("restore: a restart is invisible to any program at any moment") {
  std::mt19937_64 random(3);
  for (int i = 0; i < 400; ++i) {
    const Program program = random_program(random, i % 40 == 0 ? 6000 : 60);
    const std::uint64_t total = 1 + random() % 120, first = random() % (total + 1), seed = random();
    const auto halflife =
        random() % 3 == 0 ? std::optional<double>(1 + static_cast<double>(random() % 300)) : std::nullopt;
    Vm straight = Vm::create(program, halflife);
    std::mt19937_64 events(seed);
    live(straight, total, events);

    Vm before = Vm::create(program, halflife);
    events.seed(seed);
    live(before, first, events);
    const std::string document = encode_state(before.state());
    Vm after = Vm::create(program);
    after.restore(std::move(decode_state(document).value()));
    REQUIRE(encode_state(after.state()) == document);
    live(after, total - first, events);
    REQUIRE(encode_state(after.state()) == encode_state(straight.state()));
  }
}

}  // namespace zeroth
