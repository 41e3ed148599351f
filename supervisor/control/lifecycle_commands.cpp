// start, stop, restart, reload, shutdown: their params, and the worker that is to do it.

#include <utility>

#include "common/json_fields.h"
#include "supervisor/control/command_support.h"

namespace zeroth {
namespace {

struct Param {
  std::string_view name;
  bool (*is_type)(const Json&);
  std::string_view expected;
  bool built = true;
};
bool is_bool(const Json& value) {
  return value.is_boolean();
}
bool is_text(const Json& value) {
  return value.is_string();
}
constexpr Param kReloadParams[] = {
    {"worker", is_text, "text"},
    {"all", is_bool, "true or false"},
    {"force", is_bool, "true or false"},
    {"wait", is_bool, "true or false"},
    {"fresh", is_bool, "true or false", false},
    {"fresh_key", is_text, "text", false},
    {"release", is_bool, "true or false", false},
};

// A param that would be ignored silently is refused: its caller counts on it. False says the same as its absence, but
// for `wait`, whose default is true.
Status check_reload_params(const Json& params) {
  for (const Param& param : kReloadParams) {
    const Json* value = find_member(params, param.name);
    if (value == nullptr || value->is_null()) continue;
    const std::string name(param.name);
    if (!param.is_type(*value)) return fail(name + ": expected " + std::string(param.expected));
    if (!param.built && *value != Json(false)) return fail(name + " is not built yet");
    if (name == "wait" && *value == Json(false)) return fail("wait: false is not built yet");
  }
  return {};
}

void reload_as(Targets targets, const Peer& peer, const Request& request, std::string cause, bool force) {
  if (Status fit = check_reload_params(request.params); !fit) return bad_params(peer, request, fit.error().message);
  Worker* worker = find_worker(targets, peer, request);
  if (worker == nullptr) return;
  Worker::ReloadRequest asked;
  asked.cause = std::move(cause);
  asked.force = force;
  asked.reply = reply_to(peer, request);
  worker->reload(std::move(asked));
}

}  // namespace

namespace lifecycle {

void start(Targets targets, const Peer& peer, const Request& request) {
  reload_as(targets, peer, request, "start", false);
}
void restart(Targets targets, const Peer& peer, const Request& request) {
  reload_as(targets, peer, request, "restart", true);
}

void reload(Targets targets, const Peer& peer, const Request& request) {
  const bool force = field_or<bool>(request.params, "force", false);
  reload_as(targets, peer, request, force ? "force" : "edit", force);
}

void shutdown(Targets targets, const Peer& peer, const Request& request) {
  const auto force = optional_field<bool>(request.params, "force");
  if (!force) return bad_params(peer, request, force.error().message);
  targets.shutdown(force->value_or(false), reply_to(peer, request));
}

void stop(Targets targets, const Peer& peer, const Request& request) {
  const bool named = request.params.contains("worker") && !request.params["worker"].is_null();
  if (!named && targets.workers.size() == 1) return shutdown(targets, peer, request);
  Worker* worker = find_worker(targets, peer, request);
  if (worker == nullptr) return;
  const auto force = optional_field<bool>(request.params, "force");
  if (!force) return bad_params(peer, request, force.error().message);
  const auto reply = reply_to(peer, request);
  worker->stop(force->value_or(false), [reply, name = worker->name()](const Worker::StopOutcome& outcome) {
    if (outcome.given_up) {
      return reply(tl::unexpected(Refusal{ErrorCode::Refused, "its state cannot be saved: " + outcome.error,
                                          "stop --force stops it without", nullptr}));
    }
    reply(Json{{"operation", "stop"},
               {"worker", name},
               {"verdict", "ok"},
               {"reason", outcome.error},
               {"snapshot", outcome.sequence}});
  });
}

}  // namespace lifecycle
}  // namespace zeroth
