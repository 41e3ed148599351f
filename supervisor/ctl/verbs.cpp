#include "supervisor/ctl/verbs.h"

#include <algorithm>
#include <array>

#include "common/control_protocol.h"
#include "supervisor/ctl/completion.h"
#include "supervisor/ctl/going_back.h"
#include "supervisor/ctl/help.h"
#include "supervisor/ctl/run.h"
#include "supervisor/ctl/snapshots.h"
#include "supervisor/ctl/state.h"
#include "supervisor/ctl/status.h"
#include "supervisor/ctl/stop.h"
#include "supervisor/ctl/texts.h"
#include "supervisor/ctl/watch.h"
#include "supervisor/ctl/worker_run.h"

namespace zeroth {
namespace {

constexpr Milliseconds kQuick{10'000};
// A start may take a minute, a drain ten; the supervisor's own deadlines end it earlier.
constexpr Milliseconds kPatient{15 * 60'000};

constexpr Word kWorker = {"worker", "[WORKER]"};
constexpr Switch kAll = {"--all", "all", Kind::Flag, "", "all workers"};
constexpr Switch kOf = {"--worker", "worker", Kind::Text, "NAME", "of this one, where several run"};
constexpr Word kSnapshot = {"sequence", "SEQUENCE", Kind::Count};
constexpr Word kFile = {"path", "FILE", Kind::Path};
constexpr Switch kGenerations = {"--generation", "generation", Kind::Flag, "",
                                 "A and B are generations: the last snapshot of each"};
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
constexpr Switch kYes = {"--yes", "yes", Kind::Flag, "", "do not ask"};
constexpr Switch kNoWait = {"--no-wait", "no_wait", Kind::Flag, "", "do not wait for the outcome"};
constexpr Switch kForceReload = {"--force", "force", Kind::Flag, "",
                                 "also if nothing changed, or if the code is held back"};
constexpr Switch kForceStop = {"--force", "force", Kind::Flag, "",
                               "also if its state cannot be saved, or the supervisor does not answer"};
constexpr Switch kFresh = {"--fresh", "fresh", Kind::Flag, "", "without state; the present one is pinned"};
constexpr Switch kFreshKey = {"--fresh-key", "fresh_key", Kind::Texts, "KEY",
                              "with the code's default for this part of the state"};
constexpr Switch kRelease = {"--release", "release", Kind::Flag, "", "with the code on disk, also if it is held back"};
constexpr Switch kReloadEnv = {"--reload", "reload", Kind::Flag, "",
                               "read the env files now, and wait for the outcome"};
constexpr Switch kSequence = {"--sequence", "sequence", Kind::Count, "N",
                              "to this snapshot, and the code that wrote it"};
constexpr Switch kCodeOnly = {"--code-only", "code_only", Kind::Flag, "", "with the living state"};
constexpr Switch kStateOnly = {"--state-only", "state_only", Kind::Flag, "", "with the code that runs"};
constexpr Switch kState = {"--state", "state", Kind::Text, "NAME", "the state to inject into"};

// What is about one worker may name it.
std::vector<Verb> with_worker(std::vector<Verb> verbs) {
  for (Verb& verb : verbs) {
    const bool of_one = verb.group == Group::State || verb.group == Group::Zero;
    const bool has = !verb.words.empty() && verb.words.back().param == kOf.param;
    if (of_one && !has && !verb.raw_words) verb.switches.push_back(kOf);
  }
  return verbs;
}

const std::vector<Verb>& table() {
  // clang-format off
  static const std::vector<Verb> verbs = with_worker({
      {"start", Group::Lifecycle, "", {kWorker}, {kAll, kNoWait}, kPatient, receipt_text, run_restart},
      {"stop", Group::Lifecycle, "", {kWorker}, {kAll, kForceStop}, kPatient, stopped_text, run_stop},
      {"restart", Group::Lifecycle, "", {kWorker}, {kAll, kFresh, kFreshKey, kRelease, kYes, kNoWait}, kPatient, receipt_text, run_restart},
      {"reload", Group::Lifecycle, "", {kWorker}, {kAll, kForceReload, kNoWait}, kPatient, receipt_text, run_restart},
      {"shutdown", Group::Lifecycle, "", {}, {kForceStop}, kPatient, stopped_text, run_stop},

      {"status", Group::Observe, "", {kWorker}, {kWatch}, kQuick, nullptr, run_status},
      {"logs", Group::Observe, "", {kWorker}, {kLines, kFollow}, kQuick, logs_text, run_stream},
      {"events", Group::Observe, "", {}, {kFollow}, kQuick, nullptr, run_stream},
      {"generations", Group::Observe, "", {kWorker}, {kLimit, kOffset}, kQuick, generations_text, run_call},
      {"metrics", Group::Observe, "", {}, {}, kQuick, metrics_text, run_call},

      {"state", Group::State, "the state, or the part at /POINTER, in the newest snapshot; NAME: one state of a .zero", {{"name", "[POINTER|NAME]"}}, {kInject}, kQuick, nullptr, run_state},
      {"checkpoint", Group::State, "", {kWorker}, {}, kPatient, checkpoint_text, run_call},
      {"snapshots", Group::State, "", {kWorker}, {kLimit, kOffset}, kQuick, snapshots_text, run_call},
      {"snapshot", Group::State, "", {kSnapshot}, {}, kQuick, snapshot_text, run_call},
      {"pin", Group::State, "", {kSnapshot, kWorker}, {}, kQuick, pin_text, run_call},
      {"unpin", Group::State, "", {kSnapshot, kWorker}, {}, kQuick, pin_text, run_call},
      {"diff", Group::State, "", {{"a", "A", Kind::Count}, {"b", "B", Kind::Count}}, {kGenerations}, kPatient, diff_text, run_diff},
      {"rollback", Group::State, "", {{"generation", "[GENERATION]", Kind::Count}}, {kSequence, kCodeOnly, kStateOnly, kYes, kNoWait}, kPatient, receipt_text, run_rollback},
      {"check", Group::State, "", {}, {}, kPatient, check_text, run_check, true},
      {"export", Group::State, "", {kSnapshot, kFile}, {}, kPatient, export_text, run_call},
      {"import", Group::State, "", {kFile}, {}, kPatient, import_text, run_call},

      {"observe", Group::Zero, "look at the field, or at one state", {{"target", "[TARGET]"}}, {kPassive, kLimit, kWatch}, kQuick, observe_text, run_observe},
      {"history", Group::Zero, "earlier observations", {}, {kLimit, kOffset, kType}, kQuick, history_text, run_call},
      {"history-explain", Group::Zero, "the same, told", {}, {}, kQuick, explain_text, run_call},
      {"state-list", Group::Zero, "all states", {}, {kLimit, kOffset}, kQuick, state_list_text, run_call},
      {"align-list", Group::Zero, "all alignments", {}, {kLimit, kOffset}, kQuick, align_list_text, run_call},
      {"align", Group::Zero, "align B with A, until the program changes", {{"a", "A"}, {"b", "B"}}, {kStrength}, kQuick, fields, run_call},
      {"converge", Group::Zero, "how near the field is to convergence", {}, {kCheck, kCommit}, kQuick, fields, run_call},
      {"potential", Group::Zero, "where the states would go", {}, {kInject, kState}, kQuick, potential_text, run_call},
      {"dimension-list", Group::Zero, "all dimensions", {}, {kLimit, kOffset}, kQuick, dimension_list_text, run_call},
      {"dimension", Group::Zero, "one dimension", {{"id", "ID", Kind::Count}}, {}, kQuick, fields, run_call},

      {"start-all", Group::Fleet, "", {}, {kNoWait}, kPatient, receipt_text, run_restart},
      {"stop-all", Group::Fleet, "", {}, {kForceStop}, kPatient, stopped_text, run_stop},
      {"rolling-restart", Group::Fleet, "", {}, {kNoWait}, kPatient, receipt_text, run_restart},
      {"list", Group::Fleet, "all instances", {}, {}, kQuick, nullptr, run_list},

      {"config", Group::Other, "", {}, {}, kQuick, config_text, run_call},
      {"env", Group::Other, "", {kWorker}, {kReloadEnv}, kPatient, env_text, run_call},
      {"ping", Group::Other, "", {}, {}, kQuick, ping_text, run_call},
      {"compile", Group::Other, "compile a program: compile FILE [OPTION...]", {}, {}, kQuick, nullptr, run_worker_program, true},
      {"worker", Group::Other, "makes a worker of a command whose state is a file: worker run --state FILE [OPTION...] -- COMMAND...", {}, {}, kQuick, nullptr, run_worker, true},
      {"completion", Group::Other, "a completion script for bash, zsh or fish", {{"shell", "SHELL"}}, {}, kQuick, nullptr, run_completion},
      {"version", Group::Other, "", {}, {}, kQuick, nullptr, run_version},
      {"help", Group::Other, "this, or about one verb", {{"verb", "[VERB]"}}, {}, kQuick, nullptr, run_help},
  });
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
    case Group::Fleet:
      return "Fleet";
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
  constexpr std::string_view kNames[] = {"upgrade", "daemon-reexec", "web", "doctor"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

}  // namespace zeroth
