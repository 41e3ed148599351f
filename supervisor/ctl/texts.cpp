#include "supervisor/ctl/texts.h"

#include <cstdio>
#include <ctime>

#include "common/clock.h"
#include "common/diagnostic.h"
#include "common/json_fields.h"
#include "common/text.h"

namespace zeroth {
namespace {

std::string thousands(const Json& object, std::string_view member) {
  const auto value = optional_field<std::uint64_t>(object, member);
  return value && *value ? with_thousands(**value) : show(object, member);
}

std::string age(const Json& object, std::string_view member) {
  const double seconds = field_or<double>(object, member, -1);
  if (seconds < 0 || seconds > 1e9) return "-";
  return human_duration(std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * 1e9)));
}

std::string ms(const Json& value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.1f ms", value.is_number() ? value.get<double>() : 0.0);
  return text;
}

// The time of day, here: "10:04:02".
std::string clock_time(const Json& at) {
  const auto time = at.is_string() ? parse_rfc3339(at.get_ref<const std::string&>()) : std::nullopt;
  if (!time) return "--:--:--";
  const std::time_t seconds = std::chrono::system_clock::to_time_t(*time);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  char text[16];
  std::strftime(text, sizeof text, "%H:%M:%S", &local);
  return text;
}

Colour verdict_colour(const std::string& verdict) {
  return verdict == "ok" || verdict == "unchanged" ? Colour::Green : Colour::Red;
}

// "   kept 3  added 1 (NOON)"; nothing for none.
std::string changes(const Json& receipt) {
  std::string text;
  for (std::string_view what : {"kept", "added", "removed", "renamed"}) {
    const Json value = member_of(receipt, what);
    const auto count = value.is_number() ? value.get<double>() : field_or<double>(value, "count", 0);
    if (count <= 0) continue;
    text += (text.empty() ? "   " : "  ") + std::string(what) + " " + with_thousands(static_cast<std::uint64_t>(count));
    const auto names = field_or<std::vector<std::string>>(value, "names", {});
    if (what == "kept" || names.empty() || names.size() > 3) continue;
    for (std::size_t i = 0; i < names.size(); ++i) text += (i == 0 ? " (" : ", ") + escape_control(names[i]);
    text += ")";
  }
  return text;
}

// "generation 18  reload ok: edit   kept 3  added 1 (NOON)   iteration 25,404"
std::string receipt_line(const Json& receipt) {
  const auto verdict = field_or<std::string>(receipt, "verdict", "-");
  std::string text = "generation " + show(receipt, "to") + "  ";
  if (find_member(receipt, "to") == nullptr) text.clear();
  if (find_member(receipt, "operation") != nullptr) text += show(receipt, "operation") + " ";
  text += paint(escape_control(verdict), verdict_colour(verdict));
  if (!member_of(receipt, "cause").is_null()) text += ": " + show(receipt, "cause");
  text += changes(receipt);
  if (!member_of(receipt, "iteration").is_null()) text += "   iteration " + thousands(receipt, "iteration");
  return text + "\n";
}

std::string worker_text(const Json& worker) {
  const Json beat = member_of(worker, "beat"), snapshot = member_of(worker, "snapshot"),
             metrics = member_of(beat, "metrics");
  std::string text = field("PID", show(worker, "pid")) + field("Program", program_text(worker));
  text += field("State", show(worker, "state") + ", generation " + show(worker, "generation") + ", up " +
                             age(worker, "uptime_s") + ", " + show(worker, "restarts") + " restarts, " +
                             show(worker, "mode"));
  text += field("Iteration", thousands(beat, "iteration"));
  if (!member_of(metrics, "convergence").is_null()) text += field("Convergence", show(metrics, "convergence"));
  if (!member_of(metrics, "states").is_null()) text += field("States", thousands(metrics, "states"));
  const Json watching = member_of(worker, "watching");
  if (!watching.is_null()) text += field("Watching", show(watching));
  if (!member_of(snapshot, "sequence").is_null()) {
    // A state that stands still is not written again: an old snapshot then loses nothing.
    constexpr double kNotice = 5;  // s
    const double lost = field_or<double>(worker, "loss_window_s", 0);
    const bool still = lost > 0 && field_or<double>(snapshot, "age_s", 0) > lost + kNotice;
    text += field("Snapshot", show(snapshot, "sequence") + ", " + age(snapshot, "age_s") + " ago, " +
                                  thousands(snapshot, "bytes") + " bytes" +
                                  (still ? ", unchanged until " + age(worker, "loss_window_s") + " ago" : ""));
  }
  if (const Json why = member_of(snapshot, "degraded"); why.is_string())
    text += field("Saving fails", paint(show(why), Colour::Red));
  const Json rejected = member_of(worker, "rejected"), failure = member_of(worker, "last_failure");
  if (rejected.is_object())
    text += field("Rejected", paint("the newest change, " + age(rejected, "since_s") + " ago", Colour::Red));
  if (const Json health = member_of(worker, "health"); health.is_object()) {
    const Json error = member_of(health, "last_error");
    text += field("Health",
                  show(health, "check") + ": " + (error.is_null() ? "no failure" : paint(show(error), Colour::Red)));
  }
  if (const Json next = member_of(worker, "next_cron_at"); next.is_string()) text += field("Restart at", show(next));
  if (const Json wrong = member_of(member_of(worker, "env"), "wrong"); wrong.is_object())
    text += field("Env file", paint(show(wrong, "message") + " (the old environment stays)", Colour::Red));
  if (const Json held = member_of(worker, "held_back"); held.is_object()) {
    text += field("Held back", "the code on disk, since " + clock_time(member_of(held, "since")) +
                                   ": rolled back to generation " + show(held, "generation") +
                                   "; another edit or restart --release ends it");
  }
  if (failure.is_object()) {
    text += field("Last failure", show(failure, "phase") + ": " + show(failure, "summary"));
    text += field("What to do", show(failure, "hint"));
  }
  if (const Json awaited = member_of(worker, "waits_for"); !awaited.is_null()) {
    const Json next = member_of(worker, "next_start_in_s");
    text += field("Waits for", show(awaited) + (next.is_null() ? "" : " in " + age(worker, "next_start_in_s")));
  }
  if (const Json reload = member_of(worker, "last_reload"); reload.is_object()) {
    text += field("Last", clock_time(member_of(reload, "at")) + "  " + receipt_line(reload));
    text.pop_back();
  }
  return text;
}

// One line a worker.
std::string workers_text(const Json& workers) {
  Json rows = Json::array();
  for (const Json& worker : workers) {
    std::string ports;
    for (const std::string& address : field_or<std::vector<std::string>>(worker, "listen", {}))
      ports += (ports.empty() ? "" : " ") + address;
    const Json failure = member_of(worker, "last_failure"), awaited = member_of(worker, "waits_for");
    std::string note = awaited.is_null() ? "" : "waits for " + show(awaited);
    if (member_of(worker, "rejected").is_object()) note = "the newest change is rejected";
    if (failure.is_object()) note = show(failure, "summary");
    rows.push_back({{"name", member_of(worker, "name")},
                    {"state", member_of(worker, "state")},
                    {"pid", member_of(worker, "pid")},
                    {"generation", member_of(worker, "generation")},
                    {"up", age(worker, "uptime_s")},
                    {"restarts", member_of(worker, "restarts")},
                    {"ports", ports},
                    {"note", note}});
  }
  constexpr Column kColumns[] = {{"Worker", "name"},           {"State", "state"}, {"PID", "pid"},
                                 {"Generation", "generation"}, {"Up", "up"},       {"Restarts", "restarts"},
                                 {"Ports", "ports"},           {"", "note"}};
  return table(rows, kColumns);
}

// Of a command about several workers: one line each, and why it ended.
std::string receipts_text(const Json& result) {
  const Json workers = member_of(result, "workers");
  std::string text;
  for (const Json& receipt : workers) {
    const auto verdict = field_or<std::string>(receipt, "verdict", "-");
    text += field(show(receipt, "worker"),
                  paint(escape_control(verdict), verdict_colour(verdict)) +
                      (member_of(receipt, "to").is_null() ? "" : "   generation " + show(receipt, "to")) +
                      changes(receipt) + (show(receipt, "reason").empty() ? "" : "   " + show(receipt, "reason")));
  }
  if (const auto left = field_or<std::vector<std::string>>(result, "left", {}); !left.empty()) {
    text += "Not restarted:";
    for (const std::string& name : left) text += " " + escape_control(name);
    text += "\n";
  }
  return text;
}

}  // namespace

std::string program_text(const Json& worker) {
  const Json* program = find_member(worker, "program");
  if (program == nullptr || !program->is_array()) return show(worker, "program");
  std::string command;
  for (const Json& word : *program) command += (command.empty() ? "" : " ") + show(word);
  return command;
}

std::string status_text(const Json& result) {
  const Json supervisor = member_of(result, "supervisor"), control = member_of(supervisor, "control");
  const bool healthy = field_or<bool>(result, "healthy", false);
  std::string text = "zeroth " + show(supervisor, "version") + "  " +
                     paint(show(result, "state"), healthy ? Colour::Green : Colour::Yellow) + "  pid " +
                     show(supervisor, "pid") + "  up " + age(supervisor, "uptime_s") + "\n";
  const Json workers = member_of(result, "workers");
  const bool fleet = member_of(supervisor, "fleet").is_string();
  if (fleet) text += field("Fleet", show(supervisor, "fleet"));
  if (fleet && workers.is_array() && workers.size() == 1) text += field("Worker", show(workers[0], "name"));
  if (workers.is_array()) text += workers.size() == 1 ? worker_text(workers[0]) : workers_text(workers);
  if (!member_of(control, "socket").is_null()) text += field("Control", show(control, "socket"));
  if (!member_of(control, "port").is_null()) text += field("Control port", show(control, "port"));
  if (!member_of(supervisor, "web_port").is_null()) text += field("Web port", show(supervisor, "web_port"));
  return text;
}

std::string receipt_text(const Json& result) {
  if (member_of(result, "workers").is_array()) return receipts_text(result);
  std::string text = receipt_line(result);
  const Json phases = member_of(result, "ms");
  if (phases.is_object()) {
    for (const auto& [phase, value] : phases.items()) {
      if (value.is_number()) text += "  " + field(escape_control(phase), ms(value));
    }
  }
  if (!show(result, "reason").empty()) text += field("Reason", show(result, "reason"));
  if (const auto hint = field_or<std::string>(result, "hint", ""); !hint.empty())
    text += field("What to do", escape_control(hint));
  for (const std::string& warning : field_or<std::vector<std::string>>(result, "warnings", {}))
    text += "warning: " + escape_control(warning) + "\n";
  return text + render_reported(member_of(result, "diagnostics"));
}

std::string receipt_changes(const Json& entry) {
  const auto verdict = field_or<std::string>(entry, "verdict", "-");
  std::string text = paint(escape_control(verdict), verdict_colour(verdict)) + changes(entry);
  if (const Json migrated = member_of(entry, "migrated"); migrated.is_object())
    text += ", migrated from " + show(migrated, "from") + " to " + show(migrated, "to");
  if (!show(entry, "reason").empty()) text += "  " + show(entry, "reason");
  for (const std::string& warning : field_or<std::vector<std::string>>(entry, "warnings", {}))
    text += "\n  warning: " + escape_control(warning);
  return text;
}

std::string stopped_text(const Json& result) {
  if (member_of(result, "workers").is_array()) return receipts_text(result) + "Stopped\n";
  const auto verdict = field_or<std::string>(result, "verdict", "ok");
  if (verdict == "ok" || verdict == "unchanged") return "Stopped\n";
  return "Stopped without a final snapshot: " + show(result, "reason") + "\n";
}

std::string checkpoint_text(const Json& result) {
  return "snapshot " + show(result, "sequence") + " saved, " + thousands(result, "bytes") + " bytes, " +
         ms(member_of(result, "ms")) + "\n";
}

std::string generations_text(const Json& result) {
  constexpr Column kColumns[] = {
      {"Generation", "to"}, {"Operation", "operation"}, {"Verdict", "verdict"},   {"Cause", "cause"},
      {"At", "at"},         {"Total ms", "ms.total"},   {"Pause ms", "ms.pause"}, {"Reason", "reason"}};
  return table(member_of(result, "generations"), kColumns);
}

std::string logs_text(const Json& result) {
  const Json lines = member_of(result, "lines");
  std::string text;
  if (!lines.is_array()) return text;
  for (const Json& line : lines) text += event_text({"log", line});
  return text;
}

std::string event_text(const Event& event) {
  const Json at = member_of(event.data, "at");
  const std::string time = clock_time(at.is_string() ? at : Json(rfc3339(wall_now()))) + "  ";
  if (event.name == "log" && find_member(event.data, "message") != nullptr)
    return time + show(event.data, "message") + "\n";
  if (event.name == "log") {
    return time + show(event.data, "worker") + "[" + show(event.data, "generation") + "]  " +
           escape_control(field_or<std::string>(event.data, "text", "")) + "\n";
  }
  if (event.name == "reload" || event.name == "rejected") return time + receipt_line(event.data);
  Json rest = event.data;
  if (rest.is_object()) rest.erase("at");
  return time + escape_control(event.name) + "  " + show(rest) + "\n";
}

std::string config_text(const Json& result) {
  Json rows = Json::array();
  if (result.is_object()) {
    for (const auto& [name, entry] : result.items()) {
      const Json* value = find_member(entry, "value");
      rows.push_back(
          {{"name", name}, {"value", value != nullptr ? *value : entry}, {"origin", member_of(entry, "origin")}});
    }
  }
  constexpr Column kColumns[] = {{"Setting", "name"}, {"Value", "value"}, {"Origin", "origin"}};
  return table(rows, kColumns);
}

// Line by line as it is: for programs, and from the supervisor, which has made every name harmless.
std::string metrics_text(const Json& result) {
  return field_or<std::string>(result, "text", "");
}

std::string env_text(const Json& result) {
  std::string text;
  if (const Json workers = member_of(result, "workers"); workers.is_array()) {
    for (const Json& worker : workers)
      text += (text.empty() ? "" : "\n") + field("Worker", show(worker, "worker")) + env_text(worker);
    return text;
  }
  if (const Json receipt = member_of(result, "receipt"); receipt.is_object()) text += receipt_text(receipt);
  Json own = Json::array();
  std::uint64_t inherited = 0;
  const Json variables = member_of(result, "variables");
  for (const Json& variable : variables) {
    if (field_or<std::string>(variable, "origin", "") == "inherited") {
      ++inherited;
    } else {
      own.push_back(variable);
    }
  }
  constexpr Column kColumns[] = {{"Variable", "name"}, {"Value", "value"}, {"Origin", "origin"}};
  text += table(own, kColumns);
  text += with_thousands(inherited) + " more are inherited from the supervisor\n";
  if (const Json wrong = member_of(result, "wrong"); wrong.is_object())
    text += field("Wrong", paint(show(wrong, "message") + " (the old environment stays)", Colour::Red));
  const Json pending = member_of(result, "pending");
  for (const char* what : {"set", "unset"}) {
    std::string names;
    for (const std::string& name : field_or<std::vector<std::string>>(pending, what, {}))
      names += " " + escape_control(name);
    if (!names.empty()) text += field("Not taken", std::string(what) + names);
  }
  return text;
}

std::string ping_text(const Json&) {
  return "ok\n";
}

}  // namespace zeroth
