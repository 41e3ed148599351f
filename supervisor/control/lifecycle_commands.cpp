// start, stop, restart, reload, rollback, shutdown: their params, and the worker that is to do it.

#include <algorithm>
#include <span>
#include <utility>

#include "common/json_fields.h"
#include "supervisor/control/command_support.h"

namespace zeroth {
namespace {

struct Param {
  std::string_view name;
  bool (*is_type)(const Json&);
  std::string_view expected;
};
bool is_bool(const Json& value) {
  return value.is_boolean();
}
bool is_text(const Json& value) {
  return value.is_string();
}
bool is_count(const Json& value) {
  return value.is_number_unsigned() || (value.is_number_integer() && value.get<std::int64_t>() >= 0);
}
bool is_texts(const Json& value) {
  return is_text(value) || (value.is_array() && std::all_of(value.begin(), value.end(), is_text));
}
constexpr Param kReloadParams[] = {
    {"worker", is_text, "text"},           {"all", is_bool, "true or false"},
    {"force", is_bool, "true or false"},   {"wait", is_bool, "true or false"},
    {"fresh", is_bool, "true or false"},   {"fresh_key", is_texts, "text, or a list of texts"},
    {"release", is_bool, "true or false"},
};
constexpr Param kRollbackParams[] = {
    {"worker", is_text, "text"},
    {"generation", is_count, "a whole number"},
    {"sequence", is_count, "a whole number"},
    {"code_only", is_bool, "true or false"},
    {"state_only", is_bool, "true or false"},
    {"preview", is_bool, "true or false"},
    {"wait", is_bool, "true or false"},
};

constexpr Param kCheckParams[] = {
    {"worker", is_text, "text"}, {"file", is_text, "text"}, {"last", is_count, "a whole number"}};

// A param that would be ignored silently is refused: its caller counts on it.
Status check_params(const Json& params, std::span<const Param> known) {
  for (const Param& param : known) {
    const Json* value = find_member(params, param.name);
    if (value == nullptr || value->is_null() || param.is_type(*value)) continue;
    return fail(std::string(param.name) + ": expected " + std::string(param.expected));
  }
  return {};
}

std::vector<std::string> texts(const Json& params, std::string_view name) {
  const Json* value = find_member(params, name);
  if (value == nullptr || value->is_null()) return {};
  if (value->is_string()) return {value->get<std::string>()};
  return field_or<std::vector<std::string>>(params, name, {});
}

// Who does not wait is answered at once, and hears of the outcome by events.
Worker::Reply reply_now_or_later(const Peer& peer, const Request& request) {
  if (field_or<bool>(request.params, "wait", true)) return reply_to(peer, request);
  peer->reply(encode_result(request.id, {{"accepted", true}}));
  return [](const auto&) {};
}

void reload_as(Targets targets, const Peer& peer, const Request& request, std::string cause, bool force) {
  const Json& params = request.params;
  if (Status fit = check_params(params, kReloadParams); !fit) return bad_params(peer, request, fit.error().message);
  const bool fresh = field_or<bool>(params, "fresh", false);
  Worker::ReloadRequest asked;
  asked.aim.fresh_keys = texts(params, "fresh_key");
  if (fresh && !asked.aim.fresh_keys.empty())
    return bad_params(peer, request, "fresh and fresh_key: give one of them; fresh leaves all of the state behind");
  if (field_or<bool>(params, "all", false)) {
    if (asked.aim.puts_aside() || fresh || params.contains("worker"))
      return bad_params(peer, request, "all: goes with neither worker, fresh nor fresh_key");
    if (cause == "start") return targets.fleet->start_all(reply_now_or_later(peer, request));
    return targets.fleet->restart_all(cause, force, reply_now_or_later(peer, request));
  }
  Worker* worker = find_worker(targets, peer, request);
  if (worker == nullptr) return;
  if (auto known = worker->check_fresh_keys(asked.aim.fresh_keys); !known) return refuse(peer, request, known.error());
  if (fresh) asked.aim.state = Aim::State::Fresh;
  if (!asked.aim.fresh_keys.empty()) asked.aim.state = Aim::State::WithoutKeys;
  asked.aim.release = field_or<bool>(params, "release", false);
  asked.cause = std::move(cause);
  asked.force = force || (asked.cause != "start" && asked.aim.puts_aside());
  asked.reply = reply_now_or_later(peer, request);
  if (asked.cause == "start" || targets.fleet->waits(worker->name()))
    return targets.fleet->start(*targets.fleet->find(worker->name()), std::move(asked));
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

void rollback(Targets targets, const Peer& peer, const Request& request) {
  const Json& params = request.params;
  if (Status fit = check_params(params, kRollbackParams); !fit) return bad_params(peer, request, fit.error().message);
  Worker::RollbackRequest asked;
  const auto number = [&](std::string_view name) {
    return optional_field<std::uint64_t>(params, name).value_or(std::nullopt);
  };
  asked.wish = {number("generation"), number("sequence"), field_or<bool>(params, "code_only", false),
                field_or<bool>(params, "state_only", false)};
  if (asked.wish.generation.has_value() == asked.wish.sequence.has_value())
    return bad_params(peer, request, "expected generation or sequence, one of them");
  if (asked.wish.code_only && asked.wish.state_only)
    return bad_params(peer, request, "code_only and state_only: give at most one of them; neither returns both");
  Worker* worker = find_worker(targets, peer, request);
  if (worker == nullptr) return;
  asked.preview = field_or<bool>(params, "preview", false);
  asked.reply = asked.preview ? reply_to(peer, request) : reply_now_or_later(peer, request);
  worker->roll_back(std::move(asked));
}

void check(Targets targets, const Peer& peer, const Request& request) {
  constexpr std::uint64_t kMost = 100;
  const Json& params = request.params;
  if (Status fit = check_params(params, kCheckParams); !fit) return bad_params(peer, request, fit.error().message);
  const auto last = field_or<std::uint64_t>(params, "last", 1);
  if (last < 1 || last > kMost) return bad_params(peer, request, "last: expected 1 to " + std::to_string(kMost));
  Worker* worker = find_worker(targets, peer, request);
  if (worker == nullptr) return;
  worker->check({field_or<std::string>(params, "file", ""), static_cast<std::size_t>(last), reply_to(peer, request)});
}

void shutdown(Targets targets, const Peer& peer, const Request& request) {
  const auto force = optional_field<bool>(request.params, "force");
  if (!force) return bad_params(peer, request, force.error().message);
  targets.shutdown(force->value_or(false), reply_to(peer, request));
}

void stop(Targets targets, const Peer& peer, const Request& request) {
  if (field_or<bool>(request.params, "all", false)) return stop_all(targets, peer, request);
  const bool named = request.params.contains("worker") && !request.params["worker"].is_null();
  if (!named && targets.workers.size() == 1) return shutdown(targets, peer, request);
  Worker* worker = find_worker(targets, peer, request);
  if (worker == nullptr) return;
  const auto force = optional_field<bool>(request.params, "force");
  if (!force) return bad_params(peer, request, force.error().message);
  targets.fleet->stop(*targets.fleet->find(worker->name()), force->value_or(false), reply_to(peer, request));
}

void start_all(Targets targets, const Peer& peer, const Request& request) {
  if (Status fit = check_params(request.params, kReloadParams); !fit)
    return bad_params(peer, request, fit.error().message);
  targets.fleet->start_all(reply_now_or_later(peer, request));
}

void stop_all(Targets targets, const Peer& peer, const Request& request) {
  const auto force = optional_field<bool>(request.params, "force");
  if (!force) return bad_params(peer, request, force.error().message);
  targets.fleet->stop_all(force->value_or(false), reply_to(peer, request));
}

void rolling_restart(Targets targets, const Peer& peer, const Request& request) {
  if (Status fit = check_params(request.params, kReloadParams); !fit)
    return bad_params(peer, request, fit.error().message);
  targets.fleet->rolling_restart(reply_now_or_later(peer, request));
}

}  // namespace lifecycle
}  // namespace zeroth
