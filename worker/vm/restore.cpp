#include "worker/vm/restore.h"

#include <algorithm>
#include <initializer_list>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "common/text.h"
#include "worker/vm/json_writer.h"
#include "worker/vm/name_index.h"

namespace zeroth {
namespace {

constexpr std::uint32_t kNone = Dimensions::kNone;
constexpr double kNotableFactor = 10 * (1 - 1e-9);  // of epsilon; 3e-5 against 3e-6 may divide to a hair below 10

std::string in_quotes(std::string_view name) {
  return "'" + escape_control(name) + "'";
}
std::string text_of(double value) {
  std::string text;
  append_number(text, value);
  return text;
}

class Restoration {
 public:
  Restoration(State& now, State from, std::span<const Rename> renames)
      : now_(now),
        from_(std::move(from)),
        declared_(now_.states),
        remembered_(from_.states),
        taken_(from_.states.size()) {
    for (const Rename& rename : renames) was_.emplace(rename.state, rename.was);
    for (std::uint32_t i = 0; i < from_.parked.size(); ++i) parked_.emplace(from_.parked[i].name, i);
    returned_.resize(from_.parked.size());
    sources_.assign(now_.states.size(), kNone);
    now_.divergence.assign(now_.states.size(), 0.0);
    now_.support.assign(now_.states.size(), 0);
    now_.reinforced_at.assign(now_.states.size(), 0);
  }

  RestoreReport run() {
    for (std::uint32_t k = 0; k < now_.states.size(); ++k) match(k);
    from_.dimensions.remap(sources_);
    park();
    return std::move(report_);
  }
  State take_rest() { return std::move(from_); }

 private:
  void match(std::uint32_t k) {
    const std::string& name = now_.states[k];
    const auto clause = was_.find(k);
    const bool has_clause = clause != was_.end();
    const auto renamed_from = has_clause ? remembered_.find(clause->second) : std::nullopt;
    if (const auto same = remembered_.find(name)) {
      carry(k, *same);
      report_.kept.push_back(name);
      if (renamed_from) warn(in_quotes(name) + " was " + in_quotes(clause->second) + " is ignored: both are present");
    } else if (renamed_from) {
      carry(k, *renamed_from);
      report_.renamed.push_back({std::string(clause->second), name});
    } else if (!(has_clause && unpark(k, clause->second)) && !unpark(k, name)) {
      report_.added.push_back(name);
    }
  }

  void carry(std::uint32_t k, std::uint32_t source) {
    sources_[k] = source;
    taken_[source] = true;
    now_.divergence[k] = from_.divergence[source];
    now_.support[k] = from_.support[source];
    now_.reinforced_at[k] = from_.reinforced_at[source];
  }

  bool unpark(std::uint32_t k, std::string_view parked_name) {
    const auto found = parked_.find(parked_name);
    if (found == parked_.end()) return false;
    const ParkedState& parked = from_.parked[found->second];
    returned_[found->second] = true;
    now_.divergence[k] = parked.divergence;
    now_.support[k] = parked.support;
    now_.reinforced_at[k] = parked.reinforced_at;
    report_.added.push_back(now_.states[k]);
    warn(in_quotes(now_.states[k]) + " returned" +
         (parked_name == now_.states[k] ? "" : " as " + in_quotes(parked_name)) + " with divergence " +
         text_of(parked.divergence) + ", parked at iteration " + std::to_string(parked.iteration));
    return true;
  }

  // Whether an entry leaves the parked: its name is declared now, or it is about to be parked again.
  bool leaves(std::uint32_t entry) {
    const ParkedState& parked = from_.parked[entry];
    if (returned_[entry]) return true;
    if (declared_.find(parked.name)) {
      warn(in_quotes(parked.name) + " has a newer memory; the parked one, divergence " + text_of(parked.divergence) +
           ", is dropped");
      return true;
    }
    const auto again = remembered_.find(parked.name);
    return again && !taken_[*again];
  }

  void park() {
    std::vector<ParkedState> parked;
    for (std::uint32_t i = 0; i < from_.parked.size(); ++i) {
      if (!leaves(i)) parked.push_back(from_.parked[i]);
    }
    for (std::uint32_t k = 0; k < from_.states.size(); ++k) {
      if (taken_[k]) continue;
      const std::string& name = from_.states[k];
      warn(in_quotes(name) + " is no longer declared: parked with divergence " + text_of(from_.divergence[k]));
      report_.removed.push_back(name);
      parked.push_back({name, from_.divergence[k], from_.support[k], from_.reinforced_at[k], from_.iteration});
    }
    if (parked.size() > State::kParked) {
      const std::size_t lost = parked.size() - State::kParked;
      parked.erase(parked.begin(), parked.begin() + static_cast<std::ptrdiff_t>(lost));
      warn("more than " + with_thousands(State::kParked) + " states are parked: the oldest " + with_thousands(lost) +
           " forgotten");
    }
    from_.parked = std::move(parked);
  }

  void warn(std::string text) { report_.warnings.push_back(std::move(text)); }

  State& now_;
  State from_;
  NameIndex declared_, remembered_;                             // names of now_ and of from_
  std::vector<bool> taken_, returned_;                          // of from_'s states and parked
  std::unordered_map<std::uint32_t, std::string_view> was_;     // by index in now_
  std::unordered_map<std::string_view, std::uint32_t> parked_;  // index in from_.parked
  std::vector<std::uint32_t> sources_;                          // per state of now_, index in from_ or kNone
  RestoreReport report_;
};

// The common case, and the one that has to be quick: the same states in the same order.
std::vector<std::string> carry_all(State& now, State& from) {
  now.divergence = std::move(from.divergence);
  now.support = std::move(from.support);
  now.reinforced_at = std::move(from.reinforced_at);
  return now.states;
}

void restore_overlay(State& now, State& from, RestoreReport& report) {
  if (from.overlay.empty()) return;
  const bool same_program = now.program_hash == from.program_hash;
  const NameIndex declared(now.states);
  for (OverlayEntry& entry : from.overlay) {
    if (same_program && declared.find(entry.a) && declared.find(entry.b)) {
      now.overlay.push_back(std::move(entry));
    } else {
      report.warnings.push_back("live alignment " + in_quotes(entry.a) + " " + in_quotes(entry.b) + " strength " +
                                text_of(entry.strength) + " is dropped: the program changed");
    }
  }
}

void restore_settings(State& now, const State& from, std::optional<double> halflife, RestoreReport& report) {
  const double factor = std::max(now.epsilon / from.epsilon, from.epsilon / now.epsilon);
  if (factor >= kNotableFactor) {
    report.warnings.push_back("epsilon changed from " + text_of(from.epsilon) + " to " + text_of(now.epsilon));
  }
  now.halflife = halflife.value_or(from.halflife);
  if (now.halflife != from.halflife) {
    report.warnings.push_back("halflife changed from " + text_of(from.halflife) + " to " + text_of(now.halflife));
  }
}

std::vector<std::string> rewritten_settings(const State& now, const State& from) {
  std::vector<std::string> rewritten;
  if (now.program_hash != from.program_hash) rewritten.emplace_back("program_hash");
  if (now.epsilon != from.epsilon) rewritten.emplace_back("epsilon");
  if (now.halflife != from.halflife) rewritten.emplace_back("halflife");
  return rewritten;
}

}  // namespace

RestoreReport restore_state(State& now, State from, std::span<const Rename> renames, std::optional<double> halflife) {
  RestoreReport report;
  now.overlay.clear();
  const std::size_t live_alignments = from.overlay.size();
  restore_settings(now, from, halflife, report);
  restore_overlay(now, from, report);
  report.rewritten = rewritten_settings(now, from);
  if (now.overlay.size() != live_alignments) report.rewritten.push_back("overlay");
  // With other states, all that is kept for each of them stands elsewhere.
  const std::initializer_list<const char*> by_state = {"states",        "divergence", "support",
                                                       "reinforced_at", "dimensions", "parked"};
  if (now.states != from.states) report.rewritten.insert(report.rewritten.end(), by_state.begin(), by_state.end());
  if (now.states == from.states) {
    report.kept = carry_all(now, from);
  } else {
    Restoration restoration(now, std::move(from), renames);
    RestoreReport matched = restoration.run();
    matched.rewritten = std::move(report.rewritten);
    matched.warnings.insert(matched.warnings.begin(), report.warnings.begin(), report.warnings.end());
    report = std::move(matched);
    from = restoration.take_rest();
  }
  now.iteration = from.iteration;
  now.pressure = from.pressure;
  now.observations = std::move(from.observations);
  now.lineage = std::move(from.lineage);
  now.dimensions = std::move(from.dimensions);
  now.parked = std::move(from.parked);
  return report;
}

}  // namespace zeroth
