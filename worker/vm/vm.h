#pragma once
// The Zero virtual machine: one program and its living state. The worker's host calls step() between its other duties;
// every other call falls between two steps. Same program, same calls at the same iterations: the same bits.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "worker/language/program.h"
#include "worker/vm/restore.h"
#include "worker/vm/state.h"

namespace zeroth {

// How to observe; `target` narrows the returned projection to one state.
struct ObserveRequest {
  bool passive = false;  // look without being noticed
  std::optional<std::string_view> target = std::nullopt;
  std::size_t limit = 100;  // states in the returned projection
  std::size_t offset = 0;   // states left out before them
  double timestamp = 0;     // wall clock in seconds, kept in the record
};

struct Observation {
  Record seen;  // before this observation's own effect
  bool recorded = false;
};

struct Convergence {
  double convergence = 0;  // with the pressure
  double epsilon = 0;
  bool converged = false;
};

// Errors carry ENOENT (no such state) or EINVAL (a value out of range) as code; then nothing has changed.
class Vm {
 public:
  static constexpr double kInjectLimit = 1e6;

  // A new state: all 0, and the seed if the program asks for one. `halflife` in iterations, finite, above 0; none =
  // 100, and a restored state brings its own.
  static Vm create(Program program, std::optional<double> halflife = std::nullopt);

  // Replaces the whole living state by `from`, a decoded document.
  RestoreReport restore(State from);

  // One iteration.
  void step();
  Result<Observation> observe(const ObserveRequest& request);
  // D[state] += amount, |amount| at most kInjectLimit.
  Status inject(std::string_view state, double amount);
  // A further alignment until the program changes; the same ordered pair again replaces its strength in place.
  Status set_overlay(std::string_view a, std::string_view b, double strength);
  // Convergence as it is; `commit` collapses the field if it has converged.
  Convergence converge(bool commit);

  const State& state() const { return state_; }
  std::span<const Alignment> program_alignments() const { return std::span(alignments_).first(own_alignments_); }
  // Index of a declared state; ENOENT names the nearest.
  Result<std::uint32_t> find(std::string_view state) const;

 private:
  Vm() = default;
  void collapse(double field_convergence);
  void adopt_overlay();
  Record look(std::size_t limit, std::size_t offset = 0) const;
  void notice(const Record& seen, std::uint32_t dominant);

  State state_;
  std::vector<Alignment> alignments_;  // the program's own, then the overlay's
  std::size_t own_alignments_ = 0;
  std::vector<Rename> renames_;
  double decay_ = 0;
  std::optional<double> asked_halflife_;
};

}  // namespace zeroth
