#include "supervisor/ctl/status.h"

#include "common/control_protocol.h"
#include "common/exit_codes.h"
#include "common/json_fields.h"
#include "common/text.h"
#include "supervisor/ctl/output.h"
#include "supervisor/ctl/run.h"
#include "supervisor/ctl/texts.h"
#include "supervisor/ctl/watch.h"

namespace zeroth {
namespace {

constexpr int kLogLines = 5;

std::string program_of(const Probe& one) {
  const Json* workers = find_member(one.status, "workers");
  const Json fleet = member_of(member_of(one.status, "supervisor"), "fleet");
  if (fleet.is_string() && workers != nullptr)
    return show(fleet) + " (" + std::to_string(workers->size()) + (workers->size() == 1 ? " worker)" : " workers)");
  if (workers == nullptr || !workers->is_array() || workers->empty()) return "-";
  return program_text(workers->front());
}

std::string absent_text(const Probe& one) {
  std::string text = paint(to_string(one.presence), Colour::Bold) + "\n";
  if (one.presence != Presence::Stopped) {
    text += field("Instance", one.place.name);
    if (one.pid) text += field("PID", std::to_string(*one.pid));
    text += field("Reason", escape_control(one.message));
  }
  for (const std::string& path : one.leftovers) text += field("Left over", escape_control(path));
  if (one.last_failure.is_object()) {
    text += field("Last failure", show(one.last_failure, "occurred_at") + "  " + show(one.last_failure, "phase") +
                                      ": " + show(one.last_failure, "summary"));
  }
  return text;
}

int absent_exit_code(const Probe& one) {
  if (one.denied) return kExitPermission;
  return one.presence == Presence::Stopped || one.presence == Presence::Stale ? kExitNotRunning : kExitTaken;
}

// Where nothing answers: what is there instead that most needs a look.
const Probe& worst_of(const std::vector<Probe>& probes) {
  static const Probe nothing = [] {
    Probe none;
    none.message = "not running";
    return none;
  }();
  const Probe* worst = &nothing;
  for (const Probe& one : probes) {
    if (one.presence > worst->presence) worst = &one;
  }
  return worst == &nothing && probes.size() == 1 ? probes[0] : *worst;
}

int show_absent(const Invocation& call, const std::vector<Probe>& probes) {
  const Probe& worst = worst_of(probes);
  print(call.json ? dump(absent_status(worst)) + "\n" : absent_text(worst));
  return absent_exit_code(worst);
}

std::string last_lines(Probe& one) {
  const auto logs = one.client->call("logs", {{"lines", kLogLines}}, Milliseconds(1'000));
  return logs && logs->outcome ? logs_text(*logs->outcome) : "";
}

int show_running(const Invocation& call, Probe& one) {
  Json status = std::move(one.status);
  if (!call.params.empty()) {
    const auto response = one.client->call("status", call.params, call.timeout.value_or(call.verb->deadline));
    if (!response) return report(response.error());
    if (!response->outcome) return report(response->outcome.error());
    status = *response->outcome;
  }
  if (!print(call.json ? dump(status) + "\n" : status_text(status) + last_lines(one))) return kExitFailed;
  return field_or<bool>(status, "healthy", false) ? kExitOk : kExitFailed;
}

}  // namespace

Json absent_status(const Probe& one) {
  return {{"schema", 1},
          {"state", to_string(one.presence)},
          {"message", one.message},
          {"pid", one.pid ? Json(*one.pid) : Json()},
          {"healthy", false},
          {"leftovers", one.leftovers},
          {"last_failure", one.last_failure},
          {"config_fingerprint", nullptr},
          {"config_fingerprint_match", nullptr},
          {"supervisor", nullptr},
          {"workers", Json::array()}};
}

Json absent_status(const std::vector<Probe>& probes) {
  return absent_status(worst_of(probes));
}

std::string list_line(const Probe& one) {
  return "  " + escape_control(one.place.name) + "  pid " + (one.pid ? std::to_string(*one.pid) : "-") + "  " +
         program_of(one);
}

int run_status(const Invocation& call) {
  if (call.params.contains("watch")) return run_status_watch(call);
  std::vector<Probe> probes = probe_all(call.name);
  bool any = false;
  for (const Probe& one : probes) any = any || one.presence == Presence::Running;
  if (!any) return show_absent(call, probes);
  auto chosen = choose(call, std::move(probes));
  if (!chosen) return report(chosen.error());
  return show_running(call, *chosen);
}

int run_list(const Invocation& call) {
  Json rows = Json::array();
  for (const Probe& one : probe_all(call.name)) {
    if (one.presence == Presence::Stopped || one.presence == Presence::Stale) continue;
    rows.push_back({{"name", one.place.name},
                    {"pid", one.pid ? Json(*one.pid) : Json()},
                    {"state", to_string(one.presence)},
                    {"program", one.presence == Presence::Running ? Json(program_of(one)) : Json()},
                    {"runtime_dir", one.place.runtime_dir}});
  }
  constexpr Column kColumns[] = {{"Name", "name"}, {"PID", "pid"}, {"State", "state"}, {"Program", "program"}};
  const std::string text = call.json ? dump(rows) + "\n" : rows.empty() ? "" : table(rows, kColumns);
  if (!print(text)) return kExitFailed;
  return rows.empty() ? kExitNotRunning : kExitOk;
}

}  // namespace zeroth
