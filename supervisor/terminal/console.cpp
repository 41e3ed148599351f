#include "supervisor/terminal/console.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>

#include "common/clock.h"
#include "common/diagnostic.h"
#include "common/display_width.h"
#include "common/json_fields.h"
#include "common/terminal_style.h"
#include "common/text.h"

namespace zeroth {
namespace {

constexpr const char* kRed = "31";
constexpr const char* kGreen = "32";
constexpr const char* kYellow = "33";
constexpr std::size_t kShownNames = 3;
constexpr std::size_t kMostNamed = 20;  // changed files in a receipt

// What the worker writes goes to our stdout: is that where our messages go?
bool output_is_with_messages() {
  struct stat out {
  }, err{};
  return ::fstat(STDOUT_FILENO, &out) == 0 && ::fstat(STDERR_FILENO, &err) == 0 && out.st_dev == err.st_dev &&
         out.st_ino == err.st_ino;
}

std::string time_of_day() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::localtime_r(&now, &parts);
  char text[16];
  std::strftime(text, sizeof text, "%H:%M:%S", &parts);
  return text;
}

std::string ms_text(double ms) {
  char text[32];
  std::snprintf(text, sizeof text, ms < 10 ? "%.1f ms" : "%.0f ms", ms);
  return text;
}

std::string ms_of(const Json& receipt, const char* step) {
  const Json* ms = find_member(receipt, "ms");
  const double value = ms != nullptr ? field_or<double>(*ms, step, -1) : -1;
  return value < 0 ? "" : ms_text(value);
}

std::string seconds_text(double time) {
  return human_duration(Milliseconds(static_cast<std::int64_t>(time * 1000)));
}

std::string text_of(const Json& data, const char* member) {
  return escape_control(field_or<std::string>(data, member, ""));
}

std::string number_of(const Json& data, const char* member) {
  auto value = optional_field<std::uint64_t>(data, member);
  return value && *value ? with_thousands(**value) : "";
}

std::string first_change(const Json& receipt, const char* member = "changed") {
  const auto changed = field_or<std::vector<std::string>>(receipt, member, {});
  if (changed.empty()) return "";
  const std::string name = escape_control(changed[0].substr(changed[0].rfind('/') + 1));
  return changed.size() == 1 ? name
                             : name + " and " + std::to_string(changed.size() - 1) +
                                   (changed.size() < kMostNamed ? " more" : " or more others");
}

// Overlap is what everybody wants; of recreate, and of another mode than was asked for, a person wants to know why.
std::string why_this_mode(const Json& receipt) {
  const std::string reason = text_of(receipt, "mode_reason");
  const bool expected =
      text_of(receipt, "mode") != "recreate" && reason.find(" was asked for, but ") == std::string::npos;
  return expected || reason.empty() ? "" : " (" + reason + ")";
}

// "  set A, B and 3 more"; "" for none.
std::string some_of(const Json& data, const char* member, bool all) {
  const auto names = field_or<std::vector<std::string>>(data, member, {});
  std::string text;
  const std::size_t shown = all ? names.size() : std::min(kShownNames, names.size());
  for (std::size_t i = 0; i < shown; ++i) text += (i == 0 ? " " : ", ") + escape_control(names[i]);
  if (shown < names.size()) text += " and " + std::to_string(names.size() - shown) + " more";
  return text.empty() ? "" : std::string("  ") + member + text;
}

// Of a crash: from what it goes on, and when; or what is waited for.
std::string what_follows(const Json& crash, const std::string& next) {
  if (next == "finished") return "waiting for a save";
  const auto wait = Milliseconds(field_or<std::int64_t>(crash, "restart_in_ms", 0));
  const std::string reason = text_of(crash, "reason");
  if (next == "failed") return (reason.empty() ? "" : reason + "; ") + text_of(crash, "hint");
  const Json* snapshot = find_member(crash, "snapshot");
  const bool kept = snapshot != nullptr && snapshot->is_object();
  std::string text = next == "rolled back" ? "back to the code before" : kept ? "going on" : "starting again";
  if (kept)
    text += " from snapshot " + number_of(*snapshot, "sequence") + " (" +
            seconds_text(field_or<double>(*snapshot, "age_s", 0)) + " old)";
  text += wait.count() > 0 ? " in " + human_duration(wait) : kept ? "" : " at once";
  return text + (reason.empty() ? "" : "; " + reason);
}

}  // namespace

Console::Console(Screen& screen, const Options& options, Names names, EventHub& events, std::string hint)
    : options_(options),
      names_(std::move(names)),
      screen_(screen),
      hint_(std::move(hint)),
      shows_output_(output_is_with_messages()),
      utf8_(locale_is_utf8()) {
  if (options_.log_format == LogFormat::JsonLines) return;
  subscription_ = events.subscribe([this](std::string_view type, const Json& data) { on_event(type, data); });
}

std::string Console::paint(const char* colour, const std::string& text) const {
  return screen_.colour() ? std::string("\x1b[") + colour + "m" + text + "\x1b[0m" : text;
}

void Console::say(const std::string& line) {
  screen_.message(line);
}

void Console::tell(const std::string& line) {
  say(time_of_day() + "  " + line);
}

void Console::progress(const std::string& what) {
  if (options_.verbosity >= 0 && subscription_) tell(what);
}

std::string Console::prefix_of(const std::string& worker, std::uint64_t generation) const {
  return worker + "." + std::to_string(generation) + (utf8_ ? " \xe2\x94\x82 " : " | ");
}

void Console::on_output(const std::string& worker, const OutputEntry& entry) {
  if (options_.log_format == LogFormat::JsonLines) return;
  screen_.output(prefix_of(worker, entry.generation) +
                 (screen_.output_colour() ? entry.shown_in_colour() : entry.shown()));
}

void Console::on_event(std::string_view type, const Json& data) {
  if (field_or<bool>(data, "superseded", false)) return;
  if (type == "rejected") return on_rejected(data);
  if (type == "crash") return on_crash(data);
  if (type == "reload") return on_reload(data);
  if (type == "checkpoint") return on_checkpoint(data);
  if (type == "env") return on_env(data);
  if (type == "supervisor" && names_.workers > 0) return on_supervisor(data);
  if (type == "snapshot-rejected") {
    return say(when(data) + paint(kYellow, "snapshot set aside") + ": " + text_of(data, "file") + ": " +
               text_of(data, "reason"));
  }
  if (type == "log") {
    const bool quiet = options_.verbosity < 0 && text_of(data, "level") == "info";
    if (!quiet) say(when(data) + text_of(data, "message"));
    if (const Json* diagnostics = find_member(data, "diagnostics")) screen_.message(render_reported(*diagnostics));
  }
}

std::string Console::when(const Json& data) const {
  const std::string worker = names_.workers == 0 ? "" : text_of(data, "worker");
  return time_of_day() + "  " + (worker.empty() ? "" : worker + "  ");
}

std::string Console::program_of(const Json& data) const {
  return names_.workers == 0 ? names_.program : text_of(data, "worker");
}

void Console::on_supervisor(const Json& data) {
  if (options_.verbosity < 0) return;
  const std::string state = text_of(data, "state");
  if (state == "started") {
    say("zeroth " ZEROTH_VERSION "  " + names_.program + "  pid " + std::to_string(::getpid()) + "  " +
        std::to_string(names_.workers) + (names_.workers == 1 ? " worker" : " workers") + "   control " +
        names_.control);
    return say(hint_);
  }
  if (state != "ready") return;
  const auto workers = field_or<std::uint64_t>(data, "workers", 0),
             stopped = field_or<std::uint64_t>(data, "stopped", 0);
  say(time_of_day() + "  " +
      paint(kGreen, std::to_string(workers) + (workers == 1 ? " worker is" : " workers are") + " ready") +
      (stopped == 0 ? "" : ", " + std::to_string(stopped) + " stopped on purpose") + "   total " +
      ms_text(field_or<double>(data, "ms", 0)));
}

std::string Console::names_of(const Json& receipt, const char* member, const char* word) const {
  const Json* names = find_member(receipt, member);
  if (names == nullptr) return "";
  const auto count = field_or<std::uint64_t>(*names, "count", 0);
  if (count == 0) return "";
  const auto list = field_or<std::vector<std::string>>(*names, "names", {});
  std::string text = std::string("  ") + word;
  const std::size_t shown = options_.verbosity > 0 ? list.size() : std::min(kShownNames, list.size());
  for (std::size_t i = 0; i < shown; ++i) text += " " + escape_control(list[i]);
  if (shown < count) text += (shown == 0 ? " " : " and ") + with_thousands(count - shown) + (shown == 0 ? "" : " more");
  return text;
}

// "   speed: code 5 → 10, live 5 kept"
std::string Console::defaults_of(const Json& receipt) const {
  const Json* defaults = find_member(receipt, "defaults");
  if (defaults == nullptr || !defaults->is_array()) return "";
  std::string text;
  std::size_t shown = 0;
  for (const Json& one : *defaults) {
    if (++shown > kShownNames && options_.verbosity <= 0) break;
    const std::string to = text_of(one, "to"), live = text_of(one, "live");
    const std::string change = to.empty() ? "changed" : text_of(one, "from") + (utf8_ ? " → " : " -> ") + to;
    text += "   " + text_of(one, "key") + ": code " + change + ", live " + (live.empty() ? "kept" : live + " kept");
  }
  return text;
}

void Console::on_first(const Json& receipt) {
  started_.insert(text_of(receipt, "worker"));
  if (options_.verbosity < 0) return;
  if (names_.workers == 0)
    say("zeroth " ZEROTH_VERSION "  " + names_.program + "  pid " + std::to_string(::getpid()) + "  " +
        text_of(receipt, "mode") + why_this_mode(receipt) + "   control " + names_.control);
  std::string line = (names_.workers == 0 ? "" : when(receipt)) + "generation " + number_of(receipt, "to");
  const Json* kept = find_member(receipt, "kept");
  const bool restored = field_or<std::uint64_t>(receipt, "snapshot", 0) != 0;
  if (restored) {
    line += " restored: " + number_of(*kept, "count") + " kept" + names_of(receipt, "added", "added") +
            names_of(receipt, "removed", "parked");
    if (const std::string iteration = number_of(receipt, "iteration"); !iteration.empty())
      line += ", iteration " + iteration;
    if (auto age = optional_field<double>(receipt, "age_s"); age && *age)
      line += ", saved " + seconds_text(**age) + " ago";
  } else {
    line += " started fresh";
  }
  line += ", " + ms_of(receipt, "total");
  if (names_.workers > 0) return say(line);
  const bool fits = screen_.columns() == 0 || display_width(line) + 3 + hint_.size() <= screen_.columns();
  say(line + (fits ? "   " : "\n") + hint_);
}

void Console::on_reload(const Json& receipt) {
  const std::string verdict = text_of(receipt, "verdict");
  if (verdict == "unchanged") return on_unchanged(receipt);
  if (verdict != "ok" && verdict != "rolled_back") return on_rejected(receipt);
  if (started_.count(text_of(receipt, "worker")) == 0) return on_first(receipt);
  if (options_.verbosity < 0) return;
  const std::string operation = text_of(receipt, "operation");
  std::string why = text_of(receipt, "cause");
  if (why == "edit" || why == "env")
    why = first_change(receipt).empty() ? "changed" : first_change(receipt) + " changed";
  if (operation == "crash-restart") why = "restarted";
  if (operation == "rollback") {
    why = verdict == "rolled_back" ? "rolled back to the code before"
                                   : "rolled back to generation " + number_of(receipt, "restored_generation");
  }
  std::string line = when(receipt) + "generation " + number_of(receipt, "to") + "  " + why + "   kept " +
                     number_of(receipt["kept"], "count") + names_of(receipt, "added", "added") +
                     names_of(receipt, "removed", "parked") + names_of(receipt, "renamed", "renamed");
  if (const Json* migrated = find_member(receipt, "migrated"); migrated != nullptr && migrated->is_object())
    line += "   migrated from " + text_of(*migrated, "from") + " to " + text_of(*migrated, "to");
  if (const std::string iteration = number_of(receipt, "iteration"); !iteration.empty())
    line += "   iteration " + iteration;
  if (const std::string lost = number_of(receipt, "iteration_lost"); !lost.empty()) line += " (" + lost + " lost)";
  if (const std::string pause = ms_of(receipt, "pause"); !pause.empty()) line += "   pause " + pause;
  line += defaults_of(receipt);
  say(line + "   total " + ms_of(receipt, "total"));
  if (const auto pinned = field_or<std::uint64_t>(receipt, "pinned", 0); pinned != 0)
    say("  the state before is pinned: zerothctl rollback --sequence " + std::to_string(pinned) + " goes back to it");
  for (const std::string& warning : field_or<std::vector<std::string>>(receipt, "warnings", {}))
    say("  " + paint(kYellow, escape_control(warning)));
}

void Console::on_unchanged(const Json& data) {
  if (options_.verbosity < 0) return;
  if (field_or<bool>(data, "repaired", false)) {
    const std::string broken = seconds_text(field_or<double>(data, "broken_s", 0));
    return say(when(data) +
               paint(kGreen, program_of(data) + " compiles again after " + broken + ", content as running"));
  }
  say(when(data) + (first_change(data).empty() ? program_of(data) : first_change(data)) + " touched, same content");
}

void Console::on_rejected(const Json& receipt) {
  const std::string from = number_of(receipt, "from");
  const std::string verdict = text_of(receipt, "verdict");
  std::string line = when(receipt) + paint(kRed, "generation " + number_of(receipt, "to") + " " +
                                                     (verdict.empty() ? "failed" : verdict));
  const bool ran_on = text_of(receipt, "mode") == "overlap";  // else it was stopped before
  if (ran_on && (verdict == "rejected" || verdict == "abandoned")) line += ", " + from + " goes on";
  const Json* diagnostics = find_member(receipt, "diagnostics");
  const bool shown = diagnostics != nullptr && !diagnostics->empty();
  const auto crashed = crashed_.find(text_of(receipt, "worker"));
  if (!shown && crashed != crashed_.end() && number_of(receipt, "to") == crashed->second) return;  // told already
  if (!shown && !text_of(receipt, "reason").empty()) line += ": " + text_of(receipt, "reason");
  say(line);
  if (const std::string hint = text_of(receipt, "hint"); !hint.empty()) say("  " + hint);
  if (shown) screen_.message(render_reported(*diagnostics));
}

void Console::on_crash(const Json& crash) {
  const std::string next = text_of(crash, "next");
  const std::string generation = number_of(crash, "generation");
  crashed_[text_of(crash, "worker")] = generation;
  const std::string line = "generation " + generation + " " + text_of(crash, "meaning");
  say(when(crash) + paint(next == "finished" ? kYellow : kRed, line) + "; " + what_follows(crash, next));
  if (shows_output_) return;  // they stand right above
  for (const std::string& text : field_or<std::vector<std::string>>(crash, "log_tail", {})) say("  " + text);
}

void Console::on_checkpoint(const Json& data) {
  const Json* degraded = find_member(data, "degraded");
  if (degraded == nullptr) return;
  if (degraded->is_null()) return say(when(data) + paint(kGreen, "snapshots are saved again"));
  say(when(data) + paint(kRed, "checkpoint degraded") + ": " + text_of(data, "degraded") +
      "; what runs goes on, what is kept stays");
}

// What was told to the worker as it runs, and files that are wrong; a reload has a line of its own.
void Console::on_env(const Json& data) {
  const std::string how = text_of(data, "how"), verdict = text_of(data, "verdict");
  if (how == "reload") return;
  if (how == "files" && verdict != "ok") {
    say(when(data) + paint(kRed, "the env file is wrong: the environment stays as it was"));
    const Json* diagnostics = find_member(data, "diagnostics");
    return screen_.message(diagnostics != nullptr ? render_reported(*diagnostics) : text_of(data, "reason"));
  }
  if (how == "files" && options_.verbosity >= 0)
    return say(when(data) + paint(kGreen, "the env files are right again after " + text_of(data, "after")));
  if (verdict == "ok" && options_.verbosity < 0) return;
  const std::string what = first_change(data, "files");
  const std::string line =
      "generation " + number_of(data, "generation") + "  " + (what.empty() ? "environment" : what + " changed") +
      some_of(data, "set", options_.verbosity > 0) + some_of(data, "unset", options_.verbosity > 0);
  if (verdict == "ok") return say(when(data) + line + "   total " + ms_of(data, "total"));
  say(when(data) + paint(kRed, line + ": not taken: " + text_of(data, "reason")) + "; it goes on");
}

}  // namespace zeroth
