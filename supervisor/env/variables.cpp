#include "supervisor/env/variables.h"

#include <algorithm>
#include <array>

extern char** environ;

namespace zeroth {
namespace {

// Of the supervisor, or of the one that started it: not a worker's.
constexpr std::array<std::string_view, 15> kHidden = {
    "ZEROTH_STATE_DIR", "ZEROTH_RUNTIME_DIR", "ZEROTH_PID_FILE",     "ZEROTH_CONTROL_PORT", "ZEROTH_FD",
    "NOTIFY_SOCKET",    "WATCHDOG_USEC",      "WATCHDOG_PID",        "LISTEN_FDS",          "LISTEN_PID",
    "LISTEN_FDNAMES",   "ZEROTH_CHANGED",     "ZEROTH_CHANGED_MORE", "ZEROTH_SOCKET",       "ZEROTH_KEY"};

constexpr std::size_t kShortest = 4;  // bytes of a value that is worth hiding

bool is_hidden(std::string_view name) {
  return std::find(kHidden.begin(), kHidden.end(), name) != kHidden.end();
}

const std::string* value_in(const EnvMap& variables, const std::string& name) {
  const auto found = variables.find(name);
  return found == variables.end() ? nullptr : &found->second;
}

}  // namespace

bool is_own_variable(std::string_view name) {
  return is_hidden(name) || name.starts_with("ZEROTH_");
}

EnvMap inherited_variables() {
  EnvMap all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view assignment = *entry;
    const std::size_t equals = assignment.find('=');
    if (equals == std::string_view::npos || is_hidden(assignment.substr(0, equals))) continue;
    all.emplace(assignment.substr(0, equals), assignment.substr(equals + 1));
  }
  return all;
}

EnvChange change_between(const EnvMap& had, const EnvMap& wanted, const EnvMap& inherited,
                         const std::set<std::string>& doubtful) {
  std::set<std::string> names = doubtful;
  for (const auto& [name, value] : had) names.insert(name);
  for (const auto& [name, value] : wanted) names.insert(name);
  EnvChange change;
  for (const std::string& name : names) {
    const std::string* base = value_in(inherited, name);
    const std::string* before = value_in(had, name);
    const std::string* after = value_in(wanted, name);
    if (before == nullptr) before = base;
    if (after == nullptr) after = base;
    const bool same = before == nullptr || after == nullptr ? before == after : *before == *after;
    if (same && !doubtful.contains(name)) continue;
    if (after != nullptr) {
      change.set[name] = *after;
    } else {
      change.unset.push_back(name);
    }
  }
  return change;
}

Json names_of(const EnvChange& change) {
  Json set = Json::array();
  for (const auto& [name, value] : change.set) set.push_back(name);
  return {{"set", std::move(set)}, {"unset", change.unset}};
}

std::string without_values(std::string text, const EnvMap& values) {
  std::vector<std::string_view> hidden;
  for (const auto& [name, value] : values) {
    if (value.size() >= kShortest) hidden.push_back(value);
  }
  // The longest first: one value may be part of another.
  std::sort(hidden.begin(), hidden.end(), [](auto a, auto b) { return a.size() > b.size(); });
  for (const std::string_view value : hidden) {
    for (std::size_t at = text.find(value); at != std::string::npos; at = text.find(value, at + 3))
      text.replace(at, value.size(), "***");
  }
  return text;
}

}  // namespace zeroth
