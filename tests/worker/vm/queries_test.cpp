#include "worker/vm/queries.h"

#include <doctest/doctest.h>

#include <cerrno>

#include "tests/worker/vm/programs.h"
#include "worker/vm/history_explain.h"

namespace zeroth {
namespace {

// Collapses and is observed once an iteration.
Vm busy(std::uint64_t iterations) {
  Program program = plain_program({"A", "B"});
  program.epsilon = 1e9;
  Vm vm = Vm::create(program);
  for (; iterations > 0; --iterations) {
    vm.step();
    (void)vm.observe({});
  }
  return vm;
}

}  // namespace

TEST_CASE("queries: lists are paged and a page beyond the end is empty") {
  const Vm vm = Vm::create(numbered_program(30));
  CHECK(state_list(vm, {}).size() == 20);
  CHECK(state_list(vm, {25, 20}).size() == 5);
  CHECK(state_list(vm, {25, 20})[0].name == "S25");
  CHECK(state_list(vm, {31, 20}).empty());
  CHECK(state_list(vm, {0, SIZE_MAX}).size() == 30);
}

TEST_CASE("queries: a state tells its token and its entry in every dimension") {
  Vm vm = busy(1);
  const auto detail = state_detail(vm, "A");
  REQUIRE(detail.has_value());
  CHECK(detail->row.support == 1);
  CHECK(detail->row.tier == 0);
  CHECK(detail->reinforced_at == 1);
  REQUIRE(detail->dimensions.size() == 1);
  CHECK(detail->dimensions[0].entry == 0);
  CHECK_FALSE(detail->dimensions[0].active);
  CHECK(state_detail(vm, "C").error().code == ENOENT);
  CHECK(find_dimension(vm, 0).value()->id == 0);
  CHECK(find_dimension(vm, 1).error().code == ENOENT);
}

TEST_CASE("queries: alignments are listed in the order they act, live ones marked") {
  Vm vm = Vm::create(day_program());
  REQUIRE(vm.set_overlay("NOON", "DUSK", 0.5).has_value());
  const AlignmentList list = align_list(vm, {1, 20});
  CHECK(list.total == 3);
  REQUIRE(list.rows.size() == 2);
  CHECK(list.rows[0].b == "DUSK");
  CHECK_FALSE(list.rows[0].live);
  CHECK(list.rows[1].a == "NOON");
  CHECK(list.rows[1].strength == 0.5);
  CHECK(list.rows[1].live);
}

TEST_CASE("queries: history is newest first and tells what there ever was") {
  const Vm vm = busy(5);
  const ObservationHistory observations = observation_history(vm, {1, 2});
  CHECK(observations.total == 5);
  CHECK(observations.retained == 5);
  REQUIRE(observations.records.size() == 2);
  CHECK(observations.records[0]->iteration == 4);
  const LineageHistory collapses = lineage_history(vm, LineageEntry::Kind::Collapse, {0, 3});
  CHECK(collapses.retained == 5);
  REQUIRE(collapses.records.size() == 3);
  CHECK(collapses.records[0]->iteration == 5);
  CHECK(lineage_history(vm, LineageEntry::Kind::Merge, {}).records.empty());
}

TEST_CASE("queries: the potential is the sum of the field") {
  const Potential found = potential(Vm::create(day_program()));
  CHECK(found.states == 3);
  CHECK(found.sum == -1);
}

TEST_CASE("explain: without observations there is nothing to tell") {
  CHECK(explain_history(Vm::create(day_program()).state(), 20).text == "Nothing has been observed yet.");
}

TEST_CASE("explain: one observation, or a dominant state that stays, has no transitions") {
  Vm vm = Vm::create(day_program());
  (void)vm.observe({});
  CHECK(explain_history(vm.state(), 20).text == "One observation is kept, at iteration 0: DAWN was dominant.");
  (void)vm.observe({});
  const Explanation told = explain_history(vm.state(), 20);
  CHECK(told.transitions.empty());
  CHECK(told.text == "2 observations are kept, from iteration 0 to 0: DAWN is dominant now, as it was all the time.");
}

TEST_CASE("explain: a change of the dominant state names who gained and lost and what happened in between") {
  Program program = day_program();
  program.epsilon = 0.0125;
  Vm vm = Vm::create(program);
  (void)vm.observe({});
  run(vm, 14);
  REQUIRE(vm.inject("NOON", 4).has_value());
  (void)vm.observe({});
  const Explanation told = explain_history(vm.state(), 20);
  REQUIRE(told.transitions.size() == 1);
  const Transition& t = told.transitions[0];
  CHECK(t.from == "DAWN");
  CHECK(t.to == "NOON");
  CHECK(t.from_iteration == 0);
  CHECK(t.to_iteration == 14);
  REQUIRE(t.gained.size() == 2);
  CHECK(t.gained[0].state == "NOON");
  REQUIRE(t.lost.size() == 1);
  CHECK(t.lost[0].state == "DAWN");
  CHECK(t.collapses == 1);
  CHECK(t.merges == 0);
  CHECK(
      told.text ==
      "2 observations are kept, from iteration 0 to 14: NOON is dominant now.\n"
      "Between iterations 0 and 14 the dominant state changed from DAWN to NOON: NOON (+3.99), DUSK (+0.00777) gained; "
      "DAWN (-0.998) lost. In between: one collapse.");
}

TEST_CASE("explain: merges in between are counted, the newest transitions are told") {
  State state;
  for (std::uint64_t i = 0; i < 6; ++i) {
    Record record;
    record.iteration = 10 * i;
    record.dominant_state = i % 2 == 0 ? "A" : "B";
    state.observations.push(record);
  }
  state.lineage.push({40, LineageEntry::Kind::Merge, 0, {0, 1}});
  state.lineage.push({50, LineageEntry::Kind::Collapse, 0.5, {}});
  state.lineage.push({50, LineageEntry::Kind::Merge, 0, {2, 3}});
  const Explanation told = explain_history(state, 2);
  REQUIRE(told.transitions.size() == 2);
  CHECK(told.transitions[0].from_iteration == 30);
  CHECK(told.transitions[0].merges == 0);
  CHECK(told.transitions[1].merges == 1);
  CHECK(told.transitions[1].collapses == 1);
  CHECK(told.text.find("In between: one collapse and one merge.") != std::string::npos);
}

}  // namespace zeroth
