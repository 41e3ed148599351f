#include "supervisor/ctl/run.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "common/control_protocol.h"
#include "common/exit_codes.h"
#include "common/files.h"
#include "common/json_fields.h"
#include "common/text.h"
#include "supervisor/ctl/invocation.h"
#include "supervisor/ctl/output.h"
#include "supervisor/ctl/status.h"
#include "supervisor/ctl/texts.h"

namespace zeroth {
namespace {

// A worker's own command gets as long as the supervisor gives it (5 s), and a reload in between.
constexpr Milliseconds kWorkerCommand{30'000};

int printed(std::string_view text) {
  return print(text) ? kExitOk : kExitFailed;
}

// A receipt says how it went; everything else that was answered went well.
int exit_code_of(const Json& result) {
  const auto verdict = field_or<std::string>(result, "verdict", "ok");
  return verdict == "ok" || verdict == "unchanged" ? kExitOk : kExitFailed;
}

std::string several(const std::vector<Probe>& probes) {
  std::string message = "several instances run; choose one with -n NAME:";
  for (const Probe& one : probes) {
    if (one.presence == Presence::Running) message += "\n" + list_line(one);
  }
  return message;
}

// What a follower shows of one line; nothing for what is no event.
std::string stream_text(const std::string& line, bool json) {
  if (json) return line + "\n";
  const auto message = decode_message(line);
  const auto* event = message ? std::get_if<Event>(&*message) : nullptr;
  return event == nullptr ? "" : event_text(*event);
}

int follow(Client& client, const Invocation& call) {
  std::optional<MonotonicTime> end;
  if (call.timeout) end = monotonic_now() + *call.timeout;
  for (;;) {
    const auto line = client.read_line(end);
    if (!line && line.error().code == ETIMEDOUT) return kExitOk;
    if (!line) return report(line.error());
    if (line->starts_with(R"({"event":"dropped")")) {
      complain("dropped by the supervisor: reading too slowly");
      return kExitFailed;
    }
    if (!print(stream_text(*line, call.json))) return kExitFailed;
  }
}

int unknown(const Invocation& call, std::string_view why) {
  std::vector<std::string_view> known;
  for (const Verb& verb : verbs()) known.push_back(verb.name);
  const std::string_view meant = nearest(call.word, known);
  complain("unknown command '" + escape_control(call.word) + "'" + std::string(why) +
           (meant.empty() ? "" : ", did you mean '" + std::string(meant) + "'?"));
  return kExitUsage;
}

// No verb of ours: the running worker may know it.
int run_foreign_word(const Invocation& call) {
  auto chosen = choose(call);
  if (is_not_built(call.word)) {
    complain("'" + call.word + "' is not built yet");
    return chosen ? kExitFailed : report(chosen.error());
  }
  if (!chosen && chosen.error().code == kExitNotRunning) return unknown(call, " (nothing runs that could know it)");
  if (!chosen) return report(chosen.error());
  const auto response = chosen->client->call(call.word, call.params, deadline_of(call));
  if (!response) return report(response.error());
  if (!response->outcome && response->outcome.error().code == ErrorCode::UnknownCommand &&
      response->outcome.error().hint.empty()) {
    return unknown(call, "");
  }
  if (!response->outcome) return report(response->outcome.error());
  return printed(call.json ? dump(*response->outcome) + "\n" : fields(*response->outcome));
}

}  // namespace

Result<Probe> choose(const Invocation& call) {
  return choose(call, probe_all(call.name));
}

Result<Probe> choose(const Invocation& call, std::vector<Probe> probes) {
  Probe* running = nullptr;
  const Probe* odd = nullptr;
  for (Probe& one : probes) {
    const bool absent = one.presence == Presence::Stopped || one.presence == Presence::Stale;
    if (one.presence == Presence::Running && running != nullptr) return fail(several(probes), kExitUsage);
    if (one.presence == Presence::Running) running = &one;
    const bool tells_more = odd == nullptr || (odd->denied && !one.denied);
    if (one.presence != Presence::Running && !absent && tells_more) odd = &one;
  }
  if (running != nullptr) return std::move(*running);
  if (odd != nullptr) {
    if (odd->denied) return fail(odd->place.name + ": " + odd->message, kExitPermission);
    return fail(odd->place.name + ": " + std::string(to_string(odd->presence)) + ": " + odd->message, kExitTaken);
  }
  return fail(call.name.empty() ? "not running" : "no instance named '" + call.name + "' is running", kExitNotRunning);
}

Milliseconds deadline_of(const Invocation& call) {
  return call.timeout.value_or(call.verb != nullptr ? call.verb->deadline : kWorkerCommand);
}

Result<Probe> choose_or_tell(const Invocation& call) {
  return choose_or_tell(call, probe_all(call.name));
}

Result<Probe> choose_or_tell(const Invocation& call, std::vector<Probe> probes) {
  const Json absent = call.json ? absent_status(probes) : Json();
  auto chosen = choose(call, std::move(probes));
  if (chosen) return chosen;
  const int code = report(chosen.error());
  if (call.json && code != kExitUsage) print(dump(absent) + "\n");  // several are no state
  return fail("", code);
}

int show_result(const Invocation& call, const Json& result) {
  const int shown = printed(call.json ? dump(result) + "\n" : call.verb->text(result));
  return shown != kExitOk ? shown : exit_code_of(result);
}

std::string pointer_to(const Invocation& call, const Probe& probe) {
  const char* given = std::getenv("ZEROTH_RUNTIME_DIR");
  const bool by_variable = call.name.empty() && given != nullptr && *given != '\0';
  return "zerothctl" + (by_variable ? "" : " -n " + escape_control(probe.place.name));
}

int report(const Refusal& refusal) {
  complain(escape_control(refusal.message) + (refusal.hint.empty() ? "" : " (" + escape_control(refusal.hint) + ")"));
  switch (refusal.code) {
    case ErrorCode::Timeout:
      return kExitTimedOut;
    case ErrorCode::UnknownCommand:
    case ErrorCode::BadParams:
      return kExitUsage;
    case ErrorCode::NotFound:
      return find_member(refusal.data, "worker") != nullptr ? kExitNoSuchWorker : kExitFailed;
    case ErrorCode::BadRequest:
    case ErrorCode::Refused:
    case ErrorCode::Busy:
    case ErrorCode::Unauthorized:
    case ErrorCode::Unavailable:
    case ErrorCode::Failed:
      return kExitFailed;
  }
  return kExitFailed;
}

// Of choose(): the code is an exit code. Of Client: an errno above them all.
int report(const Error& error) {
  complain(error.message);
  if (error.code == ETIMEDOUT) return kExitTimedOut;
  if (error.code == EBADMSG) return kExitTaken;
  for (const int code : {kExitUsage, kExitNotRunning, kExitTaken, kExitPermission}) {
    if (error.code == code) return code;
  }
  return kExitFailed;
}

int run_call(const Invocation& call) {
  auto chosen = choose_or_tell(call);
  if (!chosen) return chosen.error().code;
  const auto response = chosen->client->call(call.word, call.params, deadline_of(call));
  if (!response) return report(response.error());
  if (!response->outcome) return report(response->outcome.error());
  return show_result(call, *response->outcome);
}

int run_stream(const Invocation& call) {
  auto chosen = choose_or_tell(call);
  if (!chosen) return chosen.error().code;
  const bool events = call.word == "events";
  Json params = call.params;
  if (events) params.erase("follow");  // it always does
  const auto response = chosen->client->call(call.word, params, call.verb->deadline);
  if (!response) return report(response.error());
  if (!response->outcome) return report(response->outcome.error());
  if (!events) {
    const int shown = printed(call.json ? dump(*response->outcome) + "\n" : logs_text(*response->outcome));
    if (shown != kExitOk || !call.params.contains("follow")) return shown;
  }
  return follow(*chosen->client, call);
}

int run_start(const Invocation& call) {
  complain("not running; starting a supervisor from here is not built yet: run zeroth-supervise FILE");
  if (call.json) print(dump(absent_status(probe_all(call.name))) + "\n");
  return kExitNotRunning;
}

int run_version(const Invocation& call) {
  if (call.word.empty()) return printed("zerothctl " ZEROTH_VERSION "\n");  // the option asks nobody
  Json result = {{"version", ZEROTH_VERSION}, {"protocol", kControlProtocol}, {"supervisor", nullptr}};
  auto chosen = choose(call);
  if (chosen) {
    const auto response = chosen->client->call("version", Json::object(), deadline_of(call));
    if (response && response->outcome) result["supervisor"] = *response->outcome;
  }
  std::string text = "zerothctl " ZEROTH_VERSION "\n";
  if (!result["supervisor"].is_null()) text += "zeroth-supervise " + show(result["supervisor"], "version") + "\n";
  if (!print(call.json ? dump(result) + "\n" : text)) return kExitFailed;
  return chosen ? kExitOk : report(chosen.error());
}

int run_worker_program(const Invocation& call) {
  std::error_code error;
  const std::string self = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::string program = folder_of(self) + "/zeroth-worker";
  std::vector<std::string> words = {program, call.word};
  words.insert(words.end(), call.words.begin(), call.words.end());
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::execv(program.c_str(), argv.data());
  complain(program + ": " + std::strerror(errno));
  return kExitFailed;
}

int run_ctl(int argc, const char* const* argv) {
  const auto call = read_invocation(argc, argv);
  if (!call) {
    complain(call.error().message);
    return kExitUsage;
  }
  return call->verb != nullptr ? call->verb->run(*call) : run_foreign_word(*call);
}

}  // namespace zeroth
