#include "worker/vm/queries.h"

#include <algorithm>
#include <cerrno>

#include "worker/vm/field.h"

namespace zeroth {
namespace {

struct Range {
  std::size_t begin = 0, end = 0;
};
Range clamp(Page page, std::size_t total) {
  const std::size_t begin = std::min(page.offset, total);
  return {begin, begin + std::min(page.limit, total - begin)};
}

StateRow row_of(const State& state, std::size_t k) {
  return {state.states[k], state.divergence[k], tier(state.support[k]), state.support[k]};
}

}  // namespace

std::vector<StateRow> state_list(const Vm& vm, Page page) {
  std::vector<StateRow> rows;
  const Range range = clamp(page, vm.state().states.size());
  for (std::size_t k = range.begin; k < range.end; ++k) rows.push_back(row_of(vm.state(), k));
  return rows;
}

Result<StateDetail> state_detail(const Vm& vm, std::string_view name) {
  const auto index = vm.find(name);
  if (!index) return fail(index.error());
  const State& state = vm.state();
  StateDetail detail{row_of(state, *index), state.reinforced_at[*index], {}};
  for (const Dimension& dimension : state.dimensions.all()) {
    detail.dimensions.push_back({dimension.id, dimension.vector[*index], dimension.active, dimension.resolved});
  }
  return detail;
}

AlignmentList align_list(const Vm& vm, Page page) {
  const State& state = vm.state();
  const auto own = vm.program_alignments();
  AlignmentList list{own.size() + state.overlay.size(), {}};
  const Range range = clamp(page, list.total);
  for (std::size_t i = range.begin; i < range.end; ++i) {
    if (i < own.size()) {
      list.rows.push_back({state.states[own[i].a], state.states[own[i].b], own[i].strength, false});
    } else {
      const OverlayEntry& entry = state.overlay[i - own.size()];
      list.rows.push_back({entry.a, entry.b, entry.strength, true});
    }
  }
  return list;
}

ObservationHistory observation_history(const Vm& vm, Page page) {
  const Observations& log = vm.state().observations;
  ObservationHistory history{log.total(), log.items().size(), {}};
  const Range range = clamp(page, history.retained);
  for (std::size_t i = range.begin; i < range.end; ++i)
    history.records.push_back(&log.items()[history.retained - 1 - i]);
  return history;
}

LineageHistory lineage_history(const Vm& vm, LineageEntry::Kind kind, Page page) {
  const Lineage& log = vm.state().lineage;
  LineageHistory history{log.total(), 0, {}};
  for (auto entry = log.items().rbegin(); entry != log.items().rend(); ++entry) {
    if (entry->kind != kind) continue;
    if (history.retained >= page.offset && history.records.size() < page.limit) history.records.push_back(&*entry);
    ++history.retained;
  }
  return history;
}

Potential potential(const Vm& vm) {
  return {vm.state().states.size(), blocked_sum(vm.state().divergence)};
}

Result<const Dimension*> find_dimension(const Vm& vm, std::uint64_t id) {
  for (const Dimension& dimension : vm.state().dimensions.all()) {
    if (dimension.id == id) return &dimension;
  }
  return fail("no dimension " + std::to_string(id), ENOENT);
}

}  // namespace zeroth
