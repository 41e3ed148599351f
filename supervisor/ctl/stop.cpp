#include "supervisor/ctl/stop.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/control_protocol.h"
#include "common/exit_codes.h"
#include "common/json_fields.h"
#include "common/text.h"
#include "common/unique_fd.h"
#include "supervisor/ctl/output.h"
#include "supervisor/ctl/run.h"
#include "supervisor/ctl/status.h"

namespace zeroth {
namespace {

constexpr Milliseconds kLastSteps{5'000};    // of a supervisor that has answered `stop`
constexpr Milliseconds kAfterTerm{120'000};  // unless --timeout: it may still save what its workers have
constexpr Milliseconds kAfterKill{5'000};

// The supervisor is meant, not a worker of it.
bool means_supervisor(const Invocation& call) {
  return call.word != "stop-all" && !call.params.contains("worker") && !call.params.contains("all");
}

bool has_ended(const UniqueFd& process, Milliseconds patience) {
  pollfd ended{process.get(), POLLIN, 0};
  return ::poll(&ended, 1, static_cast<int>(patience.count())) > 0;
}

Status send_signal(const UniqueFd& process, int signal) {
  if (::syscall(SYS_pidfd_send_signal, process.get(), signal, nullptr, 0) == 0 || errno == ESRCH) return {};
  return fail(last_error("signal"));
}

// SIGTERM, then SIGKILL; returns when it has ended. Error.code EPERM: another user's.
Status end_process(const UniqueFd& process, const std::string& who, Milliseconds patience) {
  if (Status sent = send_signal(process, SIGTERM); !sent) return sent;
  if (Status sent = send_signal(process, SIGCONT); !sent) return sent;  // one that is stopped takes no SIGTERM
  complain("sent SIGTERM to " + who + "; SIGKILL follows if it has not saved and ended in " + human_duration(patience));
  if (has_ended(process, patience)) return {};
  if (Status sent = send_signal(process, SIGKILL); !sent) return sent;
  complain("sent SIGKILL to " + who + ", which did not end in " + human_duration(patience));
  if (has_ended(process, kAfterKill)) return {};
  return fail(who + " lives on after SIGKILL; its files are kept", ETIMEDOUT);
}

// The only one that could be meant, and does not answer; null: there is none.
const Probe* find_silent(const std::vector<Probe>& probes) {
  const Probe* found = nullptr;
  for (const Probe& one : probes) {
    if (one.presence == Presence::Stopped || one.presence == Presence::Stale) continue;
    if (found != nullptr || one.presence != Presence::Unresponsive || one.denied) return nullptr;
    found = &one;
  }
  return found;
}

std::string names_of(const std::vector<std::string>& paths) {
  std::string names;
  for (const std::string& path : paths) names += (names.empty() ? "" : ", ") + escape_control(path);
  return names;
}

void clear_away(const Place& place) {
  const auto removed = remove_leftovers(place);
  if (!removed) {
    complain("what it left stays for the next start to replace: " + escape_control(removed.error().message));
  } else if (!removed->empty()) {
    complain("removed what a dead instance left: " + names_of(*removed));
  }
}

int refuse_silent(const Invocation& call, const Probe& silent, const std::string& why, int code) {
  complain(escape_control(silent.place.name) + ": unresponsive: " + escape_control(silent.message) + "; " + why);
  if (call.json) print(dump(absent_status(silent)) + "\n");
  return code;
}

int stop_silent(const Invocation& call, const Probe& silent) {
  if (!field_or<bool>(call.params, "force", false))
    return refuse_silent(call, silent, pointer_to(call, silent) + " stop --force ends it", kExitTaken);
  const Record record = read_record(silent.place);
  const std::string who = "pid " + std::to_string(record.pid.value_or(0));
  auto process = open_process(record);
  if (!process && process.error().code == EINVAL)
    return refuse_silent(call, silent, process.error().message + ": " + who + " is not signalled", kExitTaken);
  if (!process && process.error().code != ESRCH)
    return refuse_silent(call, silent, process.error().message, kExitFailed);
  if (process) {
    const Status ended = end_process(*process, who, call.timeout.value_or(kAfterTerm));
    if (!ended)
      return refuse_silent(call, silent, ended.error().message,
                           ended.error().code == EPERM ? kExitPermission : kExitFailed);
  }
  clear_away(silent.place);
  const Probe now = probe(silent.place);
  if (now.presence != Presence::Stopped && now.presence != Presence::Stale)
    return refuse_silent(call, now, who + " has ended, and another one is there by now", kExitTaken);
  return print(call.json ? dump(absent_status(now)) + "\n" : "Stopped\n") ? kExitOk : kExitFailed;
}

// Files of dead instances go, where nothing lives.
std::vector<Probe> without_leftovers(std::vector<Probe> probes) {
  for (Probe& one : probes) {
    if (one.presence != Presence::Stale) continue;
    clear_away(one.place);
    one = probe(one.place);
  }
  return probes;
}

}  // namespace

int run_stop(const Invocation& call) {
  std::vector<Probe> probes = probe_all(call.name);
  if (means_supervisor(call)) {
    if (const Probe* silent = find_silent(probes)) return stop_silent(call, *silent);
    probes = without_leftovers(std::move(probes));
  }
  auto chosen = choose_or_tell(call, std::move(probes));
  if (!chosen) return chosen.error().code;
  const UniqueFd process(chosen->pid ? static_cast<int>(::syscall(SYS_pidfd_open, *chosen->pid, 0)) : -1);
  const std::string socket = control_socket_path(chosen->place.runtime_dir);
  const auto response = chosen->client->call(call.word, call.params, deadline_of(call));
  if (!response) return report(response.error());
  if (!response->outcome) return report(response->outcome.error());
  // A supervisor that ends removes its socket before it answers.
  if (process && ::access(socket.c_str(), F_OK) != 0) (void)has_ended(process, kLastSteps);
  return show_result(call, *response->outcome);
}

}  // namespace zeroth
