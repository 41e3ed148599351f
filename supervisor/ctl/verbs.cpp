#include "supervisor/ctl/verbs.h"

#include <algorithm>
#include <array>

#include "common/control_protocol.h"
#include "supervisor/ctl/completion.h"
#include "supervisor/ctl/help.h"
#include "supervisor/ctl/run.h"
#include "supervisor/ctl/status.h"
#include "supervisor/ctl/texts.h"
#include "supervisor/ctl/watch.h"

namespace zeroth {
namespace {

constexpr Milliseconds kQuick{10'000};
// A start may take a minute, a drain ten; the supervisor's own deadlines end it earlier.
constexpr Milliseconds kPatient{15 * 60'000};

constexpr Word kWorker = {"worker", "[WORKER]"};
constexpr Switch kLimit = {"--limit", "limit", Kind::Count, "N", "at most N entries"};
constexpr Switch kOffset = {"--offset", "offset", Kind::Count, "N", "leave out the newest N"};
constexpr Switch kInject = {"--inject", "inject", Kind::Real, "X", "as if X were added to the divergence"};
constexpr Switch kFollow = {"-f,--follow", "follow", Kind::Flag, "", "go on with what comes"};
constexpr Switch kLines = {"-n,--lines", "lines", Kind::Count, "LINES", "how many (20)"};
constexpr Switch kPassive = {"--passive", "passive", Kind::Flag, "", "without acting on the field"};
constexpr Switch kWatch = {"-w,--watch", "watch", Kind::Flag, "", "again and again; JSON lines in a pipe"};
constexpr Switch kType = {"--type", "type", Kind::Text, "TYPE", "observation, collapse or merge"};
constexpr Switch kStrength = {"--strength", "strength", Kind::Real, "S", "between 0 and 1"};
constexpr Switch kCheck = {"--check", "check", Kind::Flag, "", "only say whether"};
constexpr Switch kCommit = {"--commit", "commit", Kind::Flag, "", "collapse it if it is"};
constexpr Switch kState = {"--state", "state", Kind::Text, "NAME", "the state to inject into"};

const std::vector<Verb>& table() {
  // clang-format off
  static const std::vector<Verb> verbs = {
      {"start", Group::Lifecycle, "", {kWorker}, {}, kPatient, receipt_text, run_start},
      {"stop", Group::Lifecycle, "", {kWorker}, {}, kPatient, stopped_text, run_call},
      {"restart", Group::Lifecycle, "", {kWorker}, {}, kPatient, receipt_text, run_call},
      {"reload", Group::Lifecycle, "", {kWorker}, {}, kPatient, receipt_text, run_call},
      {"shutdown", Group::Lifecycle, "", {}, {}, kPatient, stopped_text, run_call},

      {"status", Group::Observe, "", {kWorker}, {kWatch}, kQuick, nullptr, run_status},
      {"list", Group::Observe, "all instances", {}, {}, kQuick, nullptr, run_list},
      {"logs", Group::Observe, "", {kWorker}, {kLines, kFollow}, kQuick, logs_text, run_stream},
      {"events", Group::Observe, "", {}, {kFollow}, kQuick, nullptr, run_stream},
      {"generations", Group::Observe, "", {kWorker}, {kLimit, kOffset}, kQuick, generations_text, run_call},

      {"checkpoint", Group::State, "", {kWorker}, {}, kPatient, checkpoint_text, run_call},
      {"snapshots", Group::State, "", {kWorker}, {kLimit, kOffset}, kQuick, snapshots_text, run_call},
      {"snapshot", Group::State, "", {{"sequence", "SEQUENCE", Kind::Count}}, {}, kQuick, snapshot_text, run_call},

      {"observe", Group::Zero, "look at the field, or at one state", {{"target", "[TARGET]"}}, {kPassive, kLimit, kWatch}, kQuick, observe_text, run_observe},
      {"history", Group::Zero, "earlier observations", {}, {kLimit, kOffset, kType}, kQuick, history_text, run_call},
      {"history-explain", Group::Zero, "the same, told", {}, {}, kQuick, explain_text, run_call},
      {"state-list", Group::Zero, "all states", {}, {kLimit, kOffset}, kQuick, state_list_text, run_call},
      {"state", Group::Zero, "one state", {{"name", "NAME"}}, {kInject}, kQuick, fields, run_call},
      {"align-list", Group::Zero, "all alignments", {}, {kLimit, kOffset}, kQuick, align_list_text, run_call},
      {"align", Group::Zero, "align B with A, until the program changes", {{"a", "A"}, {"b", "B"}}, {kStrength}, kQuick, fields, run_call},
      {"converge", Group::Zero, "how near the field is to convergence", {}, {kCheck, kCommit}, kQuick, fields, run_call},
      {"potential", Group::Zero, "where the states would go", {}, {kInject, kState}, kQuick, potential_text, run_call},
      {"dimension-list", Group::Zero, "all dimensions", {}, {kLimit, kOffset}, kQuick, dimension_list_text, run_call},
      {"dimension", Group::Zero, "one dimension", {{"id", "ID", Kind::Count}}, {}, kQuick, fields, run_call},

      {"config", Group::Other, "", {}, {}, kQuick, config_text, run_call},
      {"ping", Group::Other, "", {}, {}, kQuick, ping_text, run_call},
      {"compile", Group::Other, "compile a program: compile FILE [OPTION...]", {}, {}, kQuick, nullptr, run_worker_program, true},
      {"check", Group::Other, "check a program: check FILE [OPTION...]", {}, {}, kQuick, nullptr, run_worker_program, true},
      {"completion", Group::Other, "a completion script for bash, zsh or fish", {{"shell", "SHELL"}}, {}, kQuick, nullptr, run_completion},
      {"version", Group::Other, "", {}, {}, kQuick, nullptr, run_version},
      {"help", Group::Other, "this, or about one verb", {{"verb", "[VERB]"}}, {}, kQuick, nullptr, run_help},
  };
  // clang-format on
  return verbs;
}

}  // namespace

std::string_view to_string(Group group) {
  switch (group) {
    case Group::Lifecycle:
      return "Lifecycle";
    case Group::Observe:
      return "Observe";
    case Group::State:
      return "State";
    case Group::Zero:
      return "Zero";
    case Group::Other:
      return "Other";
  }
  return "";
}

std::span<const Verb> verbs() {
  return table();
}

const Verb* find_verb(std::string_view name) {
  for (const Verb& verb : table()) {
    if (verb.name == name) return &verb;
  }
  return nullptr;
}

std::string_view help_of(const Verb& verb) {
  const SupervisorCommand* command = find_supervisor_command(verb.name);
  return command != nullptr ? command->help : verb.help;
}

bool is_not_built(std::string_view name) {
  constexpr std::string_view kNames[] = {
      "upgrade",   "daemon-reexec", "metrics",         "pin", "unpin", "diff",   "rollback", "export", "import",
      "start-all", "stop-all",      "rolling-restart", "env", "web",   "doctor", "worker"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

}  // namespace zeroth
