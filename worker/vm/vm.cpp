#include "worker/vm/vm.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <utility>

#include "common/text.h"
#include "worker/vm/field.h"
#include "worker/vm/name_index.h"

namespace zeroth {
namespace {

constexpr double kSeed = -1;            // the potential that a start and every collapse give the first state
constexpr double kPressureStep = 0.01;  // of one observation
constexpr double kPressureLimit = 0.1;
constexpr std::size_t kNearestAmong = 10000;  // states that a mistyped name is compared with

}  // namespace

int tier(std::uint64_t support) {
  int result = -1;
  for (; support > 0; support /= 3) ++result;
  return result;
}

Vm Vm::create(Program program, std::optional<double> halflife) {
  Vm vm;
  State& state = vm.state_;
  state.epsilon = program.epsilon;
  state.divergence.resize(program.states.size());
  state.support.resize(program.states.size());
  state.reinforced_at.resize(program.states.size());
  state.states = std::move(program.states);
  state.program_hash = std::move(program.hash);
  state.halflife = halflife.value_or(State::kDefaultHalflife);
  if (program.seed_potential) state.divergence[0] += kSeed;
  vm.own_alignments_ = program.alignments.size();
  vm.alignments_ = std::move(program.alignments);
  vm.renames_ = std::move(program.renames);
  vm.asked_halflife_ = halflife;
  vm.decay_ = decay_of(state.halflife);
  return vm;
}

RestoreReport Vm::restore(State from) {
  RestoreReport report = restore_state(state_, std::move(from), renames_, asked_halflife_);
  decay_ = decay_of(state_.halflife);
  adopt_overlay();
  return report;
}

void Vm::step() {
  align(state_.divergence, alignments_);
  const double field_convergence = settle(state_.divergence, decay_);
  state_.pressure *= decay_;
  ++state_.iteration;
  if (field_convergence + state_.pressure < state_.epsilon) collapse(field_convergence);
}

void Vm::collapse(double field_convergence) {
  state_.lineage.push({state_.iteration, LineageEntry::Kind::Collapse, field_convergence, {}});
  state_.dimensions.open(state_.states.size(), state_.iteration);
  state_.divergence[0] += kSeed;
}

Result<Observation> Vm::observe(const ObserveRequest& request) {
  if (!std::isfinite(request.timestamp)) return fail("timestamp is not finite", EINVAL);
  std::optional<std::uint32_t> target;
  if (request.target) {
    const auto found = find(*request.target);
    if (!found) return fail(found.error());
    target = *found;
  }
  Observation observation{look(request.limit, request.offset), !request.passive};
  if (target) observation.seen.projection = {{state_.states[*target], state_.divergence[*target]}};
  observation.seen.timestamp = request.timestamp;
  if (!request.passive) {
    Record record = look(Record::kProjected);
    record.timestamp = request.timestamp;
    notice(record, largest(state_.divergence, 1).front());
  }
  return observation;
}

Record Vm::look(std::size_t limit, std::size_t offset) const {
  Record seen;
  const std::size_t skipped = std::min(offset, state_.divergence.size());
  const auto order = largest(state_.divergence, std::max<std::size_t>(skipped + limit, 1));
  seen.iteration = state_.iteration;
  seen.dominant_state = state_.states[order.front()];
  seen.field_convergence = std::fabs(state_.divergence[order.front()]);
  seen.observation_pressure = state_.pressure;
  seen.convergence = seen.field_convergence + seen.observation_pressure;
  for (std::size_t i = skipped; i < std::min(skipped + limit, order.size()); ++i) {
    seen.projection.push_back({state_.states[order[i]], state_.divergence[order[i]]});
  }
  return seen;
}

void Vm::notice(const Record& seen, std::uint32_t dominant) {
  state_.observations.push(seen);
  state_.pressure = std::min(kPressureLimit, state_.pressure + kPressureStep);
  if (auto sources = state_.dimensions.resolve(state_.divergence, state_.epsilon, state_.iteration)) {
    state_.lineage.push({state_.iteration, LineageEntry::Kind::Merge, 0, std::move(*sources)});
  }
  ++state_.support[dominant];
  state_.reinforced_at[dominant] = state_.iteration;
}

Status Vm::inject(std::string_view state, double amount) {
  if (!(std::fabs(amount) <= kInjectLimit)) return fail("inject must be between -1e6 and 1e6", EINVAL);
  const auto index = find(state);
  if (!index) return fail(index.error());
  state_.divergence[*index] += amount;
  return {};
}

Status Vm::set_overlay(std::string_view a, std::string_view b, double strength) {
  if (!(strength >= 0 && strength <= 1)) return fail("strength must be between 0 and 1", EINVAL);
  const auto from = find(a), to = find(b);
  if (!from) return fail(from.error());
  if (!to) return fail(to.error());
  if (*from == *to) return fail("a state cannot be aligned with itself", EINVAL);
  for (std::size_t i = 0; i < state_.overlay.size(); ++i) {
    Alignment& entry = alignments_[own_alignments_ + i];
    if (entry.a != *from || entry.b != *to) continue;
    entry.strength = state_.overlay[i].strength = strength;
    return {};
  }
  alignments_.push_back({*from, *to, strength});
  state_.overlay.push_back({std::string(a), std::string(b), strength});
  return {};
}

Convergence Vm::converge(bool commit) {
  const double field_convergence = largest_magnitude(state_.divergence);
  const double convergence = field_convergence + state_.pressure;
  const bool converged = convergence < state_.epsilon;
  if (commit && converged) collapse(field_convergence);
  return {convergence, state_.epsilon, converged};
}

Result<std::uint32_t> Vm::find(std::string_view state) const {
  const auto found = std::find(state_.states.begin(), state_.states.end(), state);
  if (found != state_.states.end()) return static_cast<std::uint32_t>(found - state_.states.begin());
  const std::vector<std::string_view> names(
      state_.states.begin(),
      state_.states.begin() + static_cast<std::ptrdiff_t>(std::min(kNearestAmong, state_.states.size())));
  const std::string_view meant = nearest(state, names);
  return fail("no state '" + escape_control(state) + "'" +
                  (meant.empty() ? "" : ", did you mean '" + escape_control(meant) + "'?"),
              ENOENT);
}

// The overlay names states by name; each of them is declared (restore_state keeps no other).
void Vm::adopt_overlay() {
  alignments_.resize(own_alignments_);
  if (state_.overlay.empty()) return;
  const NameIndex index(state_.states);
  for (const OverlayEntry& entry : state_.overlay) {
    alignments_.push_back({*index.find(entry.a), *index.find(entry.b), entry.strength});
  }
}

}  // namespace zeroth
