#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>
#include <vector>

#include "common/json_fields.h"
#include "common/text.h"
#include "supervisor/ctl/texts.h"

namespace zeroth {
namespace {

std::string real(const Json& object, std::string_view member) {
  const auto value = optional_field<double>(object, member);
  if (!value || !*value) return show(object, member);
  char text[40];
  std::snprintf(text, sizeof text, "%.6f", **value);
  return text;
}

// "  HELLO                 +0.800000", largest first.
std::string divergences(const Json& states) {
  std::vector<std::pair<std::string, double>> sorted;
  if (states.is_object()) {
    for (const auto& [name, value] : states.items()) {
      sorted.emplace_back(escape_control(name), value.is_number() ? value.get<double>() : 0.0);
    }
  }
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return std::fabs(a.second) > std::fabs(b.second); });
  std::string text;
  for (const auto& [name, value] : sorted) {
    char number[40];
    std::snprintf(number, sizeof number, "%+.6f", value);
    text += "  " + field(name, number);
  }
  return text;
}

// The records with their reals as they are shown.
Json shown_reals(const Json& rows, std::initializer_list<std::string_view> members) {
  Json shown = rows;
  if (!shown.is_array()) return shown;
  for (Json& row : shown) {
    for (std::string_view member : members) {
      if (find_member(row, member) != nullptr) row[std::string(member)] = real(row, member);
    }
  }
  return shown;
}

}  // namespace

std::string observe_text(const Json& result) {
  return field("Iteration", show(result, "iteration")) + field("Convergence", real(result, "convergence")) +
         field("Field Convergence", real(result, "field_convergence")) +
         field("Observation Pressure", real(result, "observation_pressure")) +
         field("Dominant", show(result, "dominant_state")) + divergences(member_of(result, "projection"));
}

std::string history_text(const Json& result) {
  constexpr Column kObservations[] = {{"Iteration", "iteration"},
                                      {"Dominant", "dominant_state"},
                                      {"Convergence", "convergence"},
                                      {"Field Conv", "field_convergence"},
                                      {"Obs Press", "observation_pressure"}};
  return table(shown_reals(member_of(result, "records"), {"convergence", "field_convergence", "observation_pressure"}),
               kObservations);
}

std::string explain_text(const Json& result) {
  std::string text = field_or<std::string>(result, "text", ""), out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    out += escape_control(text.substr(at, end - at)) + "\n";
    at = end + 1;
  }
  return out;
}

std::string state_list_text(const Json& result) {
  constexpr Column kColumns[] = {
      {"State", "name"}, {"Divergence", "divergence"}, {"Tier", "tier"}, {"Support", "support"}};
  return table(shown_reals(member_of(result, "states"), {"divergence"}), kColumns);
}

std::string align_list_text(const Json& result) {
  constexpr Column kColumns[] = {{"A", "a"}, {"B", "b"}, {"Strength", "strength"}, {"Live", "live"}};
  return table(member_of(result, "alignments"), kColumns);
}

std::string potential_text(const Json& result) {
  const Json states = member_of(result, "states");
  constexpr Column kColumns[] = {{"State", "name"}, {"Potential", "potential"}};
  const std::string rows =
      states.is_array() ? table(shown_reals(states, {"potential"}), kColumns) : divergences(states);
  return rows + field("Sum", real(result, "sum"));
}

std::string dimension_list_text(const Json& result) {
  constexpr Column kColumns[] = {
      {"Dimension", "id"}, {"Active", "active"}, {"Resolved", "resolved"}, {"Lineage", "lineage"}};
  return table(member_of(result, "dimensions"), kColumns);
}

}  // namespace zeroth
