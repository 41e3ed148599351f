#include "worker/vm/history_explain.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <string_view>

#include "common/text.h"

namespace zeroth {
namespace {

constexpr std::size_t kNamed = 3;  // states a sentence names on each side

std::map<std::string_view, double> magnitude_changes(const Record& before, const Record& after) {
  std::map<std::string_view, double> changes;
  for (const Projected& projected : after.projection) changes[projected.state] += std::fabs(projected.divergence);
  for (const Projected& projected : before.projection) changes[projected.state] -= std::fabs(projected.divergence);
  return changes;
}

void sort_by_size(std::vector<Transition::Change>& changes) {
  std::stable_sort(changes.begin(), changes.end(),
                   [](const auto& x, const auto& y) { return std::fabs(x.by) > std::fabs(y.by); });
}

// A collapse belongs to the step before an observation, a merge is an observation's own effect.
std::size_t count_between(const Lineage& lineage, LineageEntry::Kind kind, std::uint64_t from, std::uint64_t to) {
  const auto between = [&](const LineageEntry& entry) {
    if (entry.kind != kind) return false;
    return kind == LineageEntry::Kind::Collapse ? from < entry.iteration && entry.iteration <= to
                                                : from <= entry.iteration && entry.iteration < to;
  };
  return static_cast<std::size_t>(std::count_if(lineage.items().begin(), lineage.items().end(), between));
}

Transition transition_between(const Record& before, const Record& after, const Lineage& lineage) {
  Transition transition;
  transition.from_iteration = before.iteration;
  transition.to_iteration = after.iteration;
  transition.from = before.dominant_state;
  transition.to = after.dominant_state;
  for (const auto& [state, by] : magnitude_changes(before, after)) {
    if (by > 0) transition.gained.push_back({std::string(state), by});
    if (by < 0) transition.lost.push_back({std::string(state), by});
  }
  sort_by_size(transition.gained);
  sort_by_size(transition.lost);
  transition.collapses = count_between(lineage, LineageEntry::Kind::Collapse, before.iteration, after.iteration);
  transition.merges = count_between(lineage, LineageEntry::Kind::Merge, before.iteration, after.iteration);
  return transition;
}

std::string changes_text(const std::vector<Transition::Change>& changes, const char* verb) {
  std::string text;
  for (std::size_t i = 0; i < std::min(kNamed, changes.size()); ++i) {
    char number[32];
    std::snprintf(number, sizeof number, " (%+.3g)", changes[i].by);
    text += (i == 0 ? "" : ", ") + escape_control(changes[i].state) + number;
  }
  if (changes.size() > kNamed) text += " and " + std::to_string(changes.size() - kNamed) + " more";
  return text.empty() ? text : text + " " + verb;
}

std::string counted(std::size_t count, const char* one, const char* many) {
  return count == 1 ? std::string(one) : with_thousands(count) + " " + many;
}

std::string sentence(const Transition& t) {
  std::string text = "Between iterations " + with_thousands(t.from_iteration) + " and " +
                     with_thousands(t.to_iteration) + " the dominant state changed from " + escape_control(t.from) +
                     " to " + escape_control(t.to);
  const std::string gained = changes_text(t.gained, "gained"), lost = changes_text(t.lost, "lost");
  if (!gained.empty() || !lost.empty()) text += ": " + gained + (gained.empty() || lost.empty() ? "" : "; ") + lost;
  text += ".";
  std::string events;
  if (t.collapses > 0) events = counted(t.collapses, "one collapse", "collapses");
  if (t.merges > 0) events += (events.empty() ? "" : " and ") + counted(t.merges, "one merge", "merges");
  return events.empty() ? text : text + " In between: " + events + ".";
}

std::string summary(const Observations& observations) {
  const auto& records = observations.items();
  if (records.empty()) return "Nothing has been observed yet.";
  if (records.size() == 1) {
    return "One observation is kept, at iteration " + with_thousands(records[0].iteration) + ": " +
           escape_control(records[0].dominant_state) + " was dominant.";
  }
  return with_thousands(records.size()) + " observations are kept, from iteration " +
         with_thousands(records.front().iteration) + " to " + with_thousands(records.back().iteration) + ": " +
         escape_control(records.back().dominant_state) + " is dominant now";
}

}  // namespace

Explanation explain_history(const State& state, std::size_t limit) {
  const auto& records = state.observations.items();
  Explanation explanation;
  for (std::size_t i = records.size(); i-- > 1 && explanation.transitions.size() < limit;) {
    if (records[i - 1].dominant_state == records[i].dominant_state) continue;
    explanation.transitions.push_back(transition_between(records[i - 1], records[i], state.lineage));
  }
  std::reverse(explanation.transitions.begin(), explanation.transitions.end());
  explanation.text = summary(state.observations);
  if (records.size() > 1) explanation.text += explanation.transitions.empty() ? ", as it was all the time." : ".";
  for (const Transition& transition : explanation.transitions) explanation.text += "\n" + sentence(transition);
  return explanation;
}

}  // namespace zeroth
