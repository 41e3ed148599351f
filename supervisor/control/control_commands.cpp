#include "supervisor/control/control_commands.h"

#include <algorithm>
#include <iterator>
#include <span>
#include <utility>

#include "common/control_protocol.h"
#include "common/json_fields.h"
#include "common/text.h"
#include "common/worker_protocol.h"
#include "supervisor/control/command_support.h"
#include "supervisor/control/env_commands.h"
#include "supervisor/control/snapshot_commands.h"
#include "version.h"

namespace zeroth {
namespace {

struct Paging {
  std::size_t limit = 20, offset = 0;
};
Result<Paging> take_paging(const Json& params, std::string_view limit_name = "limit") {
  constexpr std::int64_t kMost = 1'000;
  Paging paging;
  auto limit = optional_field<std::int64_t>(params, limit_name);
  if (!limit) return fail(limit.error());
  if (*limit && (**limit < 0 || **limit > kMost))
    return fail(std::string(limit_name) + ": expected 0 to " + std::to_string(kMost));
  if (*limit) paging.limit = static_cast<std::size_t>(**limit);
  auto offset = optional_field<std::int64_t>(params, "offset");
  if (!offset) return fail(offset.error());
  if (*offset && **offset < 0) return fail("offset: expected a whole number that is not negative");
  if (*offset) paging.offset = static_cast<std::size_t>(**offset);
  return paging;
}

// ---- One function a command

void ping(Targets, const Peer& peer, const Request& request) {
  peer->reply(encode_result(request.id, Json::object()));
}

void version(Targets, const Peer& peer, const Request& request) {
  peer->reply(encode_result(request.id,
                            {{"version", ZEROTH_VERSION}, {"protocol", kControlProtocol}, {"commit", ZEROTH_COMMIT}}));
}

void status(Targets targets, const Peer& peer, const Request& request) {
  const std::vector<Worker*> meant = find_workers(targets, peer, request);
  if (meant.empty()) return;
  Json all = targets.status();
  if (meant.size() < targets.workers.size()) {
    std::erase_if(all["workers"].get_ref<Json::array_t&>(),
                  [&](const Json& entry) { return entry["name"] != meant.front()->name(); });
  }
  peer->reply(encode_result(request.id, all));
}

void config(Targets targets, const Peer& peer, const Request& request) {
  peer->reply(encode_result(request.id, targets.config()));
}

void metrics(Targets targets, const Peer& peer, const Request& request) {
  targets.metrics([peer, id = request.id](const std::string& text) {
    peer->reply(encode_result(id, {{"text", text}}));
  });
}

void checkpoint(Targets targets, const Peer& peer, const Request& request) {
  Worker* worker = find_worker(targets, peer, request);
  if (worker != nullptr) worker->checkpoint("manual", reply_to(peer, request));
}

void snapshots(Targets targets, const Peer& peer, const Request& request) {
  Worker* worker = find_worker(targets, peer, request);
  if (worker == nullptr) return;
  auto paging = take_paging(request.params);
  if (!paging) return bad_params(peer, request, paging.error().message);
  worker->snapshots().list(
      paging->offset, paging->limit,
      [peer, id = request.id, store = &worker->snapshots()](Result<SnapshotStore::Page> page) {
        if (!page) return peer->reply(encode_refusal(id, {ErrorCode::Failed, page.error().message, "", nullptr}));
        Json list = Json::array();
        for (const SnapshotEnvelope& envelope : page->envelopes) list.push_back(describe_snapshot(*store, envelope));
        peer->reply(encode_result(id, {{"total", page->total}, {"snapshots", std::move(list)}}));
      });
}

void snapshot(Targets targets, const Peer& peer, const Request& request) {
  Worker* worker = find_worker(targets, peer, request);
  if (worker == nullptr) return;
  auto sequence = required_field<std::uint64_t>(request.params, "sequence");
  if (!sequence) return bad_params(peer, request, sequence.error().message);
  worker->snapshots().read(
      *sequence, [peer, id = request.id, store = &worker->snapshots()](Result<SnapshotStore::Detail> detail) {
        if (!detail)
          return peer->reply(
              encode_refusal(id, {ErrorCode::NotFound, detail.error().message, "see zerothctl snapshots", nullptr}));
        Json json = describe_snapshot(*store, detail->envelope);
        json["path"] = detail->path;
        std::string text = dump(json);
        text.pop_back();
        text += R"(,"state":)" + detail->state.value_or("null") + "}";
        std::erase(text, '\n');
        peer->reply(encode_result_text(id, text));
      });
}

void generations(Targets targets, const Peer& peer, const Request& request) {
  Worker* worker = find_worker(targets, peer, request);
  if (worker == nullptr) return;
  auto paging = take_paging(request.params);
  if (!paging) return bad_params(peer, request, paging.error().message);
  const auto& receipts = worker->generations().receipts();
  Json list = Json::array();
  for (std::size_t i = paging->offset; i < receipts.size() && list.size() < paging->limit; ++i)
    list.push_back(receipts[i]);
  peer->reply(encode_result(request.id, {{"total", receipts.size()}, {"generations", std::move(list)}}));
}

Json line_json(const std::string& worker, const OutputEntry& entry) {
  return {{"at", rfc3339(entry.at)},
          {"worker", worker},
          {"generation", entry.generation},
          {"stream", entry.stream == OutputStream::Stdout ? "stdout" : "stderr"},
          {"text", entry.shown()}};
}

void logs(Targets targets, const Peer& peer, const Request& request) {
  const std::vector<Worker*> meant = find_workers(targets, peer, request);
  if (meant.empty()) return;
  auto paging = take_paging(request.params, "lines");
  if (!paging) return bad_params(peer, request, paging.error().message);
  auto since = optional_field<std::string>(request.params, "since");
  if (!since) return bad_params(peer, request, since.error().message);
  const auto asked = optional_field<bool>(request.params, "follow");
  if (!asked) return bad_params(peer, request, asked.error().message);
  std::vector<std::pair<const Worker*, OutputEntry>> entries;
  for (Worker* worker : meant) {
    for (OutputEntry& entry : worker->output().tail(paging->limit)) entries.emplace_back(worker, std::move(entry));
  }
  if (*since) {
    const auto time = parse_rfc3339(**since);
    if (!time) return bad_params(peer, request, "since: expected a time like 2026-01-31T10:02:11.123Z");
    std::erase_if(entries, [&](const auto& entry) { return entry.second.at < *time; });
  }
  std::stable_sort(entries.begin(), entries.end(),
                   [](const auto& a, const auto& b) { return a.second.at < b.second.at; });
  if (entries.size() > paging->limit)
    entries.erase(entries.begin(), entries.end() - static_cast<std::ptrdiff_t>(paging->limit));
  Json lines = Json::array();
  for (const auto& [worker, entry] : entries) lines.push_back(line_json(worker->name(), entry));
  const bool follow = asked->value_or(false);
  if (follow) peer->begin_stream();
  peer->reply(encode_result(request.id, {{"lines", std::move(lines)}}));
  if (!follow) return;
  for (Worker* worker : meant) {
    peer->keep(
        worker->output().subscribe([weak = std::weak_ptr(peer), name = worker->name()](const OutputEntry& entry) {
          if (const auto client = weak.lock()) client->stream(encode_event("log", line_json(name, entry)));
        }));
  }
}

std::string list_of(std::span<const std::string_view> words) {
  std::string list;
  for (const std::string_view word : words) list += (list.empty() ? "" : ", ") + std::string(word);
  return list;
}

void events(Targets targets, const Peer& peer, const Request& request) {
  auto types = optional_field<std::vector<std::string>>(request.params, "types");
  if (!types) return bad_params(peer, request, types.error().message);
  for (const std::string& type : types->value_or(std::vector<std::string>())) {
    if (std::find(std::begin(kEventTypes), std::end(kEventTypes), type) == std::end(kEventTypes))
      return bad_params(peer, request,
                        "types: there is no '" + escape_control(type) + "'; there are " + list_of(kEventTypes));
  }
  peer->begin_stream();
  peer->reply(encode_result(request.id, Json::object()));
  peer->keep(
      targets.events->subscribe([weak = std::weak_ptr(peer), types = *types](std::string_view type, const Json& data) {
        if (types && std::find(types->begin(), types->end(), type) == types->end()) return;
        const auto client = weak.lock();
        if (!client) return;
        Json told = data;
        if (!told.contains("at")) told["at"] = rfc3339(wall_now());
        client->stream(encode_event(type, told));
      }));
}

struct Entry {
  std::string_view name;
  void (*run)(Targets, const Peer&, const Request&);
};
constexpr Entry kEntries[] = {
    {"ping", ping},
    {"version", version},
    {"status", status},
    {"config", config},
    {"metrics", metrics},
    {"start", lifecycle::start},
    {"stop", lifecycle::stop},
    {"restart", lifecycle::restart},
    {"reload", lifecycle::reload},
    {"rollback", lifecycle::rollback},
    {"check", lifecycle::check},
    {"checkpoint", checkpoint},
    {"snapshots", snapshots},
    {"snapshot", snapshot},
    {"generations", generations},
    {"logs", logs},
    {"env", show_env},
    {"events", events},
    {"shutdown", lifecycle::shutdown},
    {"start-all", lifecycle::start_all},
    {"stop-all", lifecycle::stop_all},
    {"rolling-restart", lifecycle::rolling_restart},
    {"pin", keeping::pin},
    {"unpin", keeping::unpin},
    {"diff", keeping::diff},
    {"export", keeping::export_file},
    {"import", keeping::import_file},
};

bool announces(const Worker& worker, const std::string& command) {
  const auto& announced = worker.commands();
  return std::any_of(announced.begin(), announced.end(), [&](const CommandInfo& one) { return one.name == command; });
}

void pass_on(Worker& worker, const Peer& peer, const Request& request, const Json& params) {
  worker.call(request.command, params, request.timestamp,
              [peer, id = request.id](const tl::expected<Json, Refusal>& outcome, std::string_view text) {
                peer->reply(outcome ? encode_result_text(id, text) : encode_refusal(id, outcome.error()));
              });
}

// Whatever is not ours goes to the worker that announced it; of several, to the one that is named.
void forward(Targets targets, const Peer& peer, const Request& request) {
  if (targets.workers.size() == 1) return pass_on(*targets.workers.front(), peer, request, request.params);
  std::vector<Worker*> meant = find_workers(targets, peer, request);
  if (meant.empty()) return;
  Json params = request.params;
  const bool named = meant.size() == 1;
  if (named) params.erase("worker");
  std::erase_if(meant, [&](const Worker* worker) { return !announces(*worker, request.command); });
  if (meant.size() == 1) return pass_on(*meant.front(), peer, request, params);
  std::string names;
  for (const Worker* worker : meant) names += (names.empty() ? "" : ", ") + worker->name();
  const std::string command = "'" + escape_control(request.command.substr(0, 64)) + "'";
  refuse(peer, request,
         named ? Refusal{ErrorCode::UnknownCommand, "that worker has no command " + command, "", nullptr}
               : Refusal{ErrorCode::BadParams, command + " is a command of " + names, "name one as worker", nullptr});
}

}  // namespace

Dispatcher make_dispatcher(Targets targets) {
  std::vector<Dispatcher::Command> commands;
  for (const Entry& entry : kEntries) {
    commands.push_back({entry.name, [&targets, run = entry.run](const Peer& peer, const Request& request) {
                          run(targets, peer, request);
                        }});
  }
  Dispatcher::WorkerCommands worker;
  worker.names = [&targets] {
    std::vector<std::string> names;
    for (Worker* each : targets.workers) {
      for (const CommandInfo& command : each->commands()) names.push_back(command.name);
    }
    return names;
  };
  worker.takes = [&targets, names = worker.names](const std::string& name) {
    const std::vector<std::string> announced = names();
    if (announced.empty() && targets.workers.size() == 1)
      return targets.workers.front()->state() == WorkerState::Starting;
    return std::find(announced.begin(), announced.end(), name) != announced.end();
  };
  worker.forward = [&targets](const Peer& peer, const Request& request) { forward(targets, peer, request); };
  return Dispatcher(std::move(commands), std::move(worker));
}

}  // namespace zeroth
