#include "supervisor/control/snapshot_commands.h"

#include <cerrno>
#include <optional>

#include "common/json_fields.h"
#include "common/text.h"
#include "supervisor/snapshot/snapshot_exchange.h"

namespace zeroth {
namespace {

constexpr const char* kSeeSnapshots = "see zerothctl snapshots";

// Of the store's operations on a named snapshot.
Refusal refusal_of(const Error& error, ErrorCode otherwise = ErrorCode::Failed) {
  if (error.code == ENOENT) return {ErrorCode::NotFound, error.message, kSeeSnapshots, nullptr};
  if (error.code == EBUSY) return {ErrorCode::Busy, error.message, "try again when it has ended", nullptr};
  if (error.code == EEXIST) return {ErrorCode::Refused, error.message, "name another file", nullptr};
  return {otherwise, error.message, "", nullptr};
}

// A required sequence; answers by itself if there is none.
std::optional<std::uint64_t> take_sequence(const Peer& peer, const Request& request, std::string_view name) {
  auto sequence = required_field<std::uint64_t>(request.params, name);
  if (sequence) return *sequence;
  bad_params(peer, request, sequence.error().message);
  return std::nullopt;
}

// A required path; the same.
std::optional<std::string> take_path(const Peer& peer, const Request& request) {
  auto path = required_field<std::string>(request.params, "path");
  Status good = path ? check_exchange_path(*path) : fail(path.error());
  if (good) return std::move(*path);
  bad_params(peer, request, good.error().message);
  return std::nullopt;
}

void set_pinned(Targets targets, const Peer& peer, const Request& request, bool pinned) {
  Worker* worker = find_worker(targets, peer, request);
  if (worker == nullptr) return;
  const auto sequence = take_sequence(peer, request, "sequence");
  if (!sequence) return;
  const auto answer = [reply = reply_to(peer, request), sequence = *sequence, pinned](Status done) {
    if (!done) return reply(tl::unexpected(refusal_of(done.error())));
    reply(Json{{"sequence", sequence}, {"pinned", pinned}});
  };
  pinned ? worker->snapshots().pin(*sequence, answer) : worker->snapshots().unpin(*sequence, answer);
}

// What somebody who wants to go on from it must know.
Json import_warnings(const SnapshotEnvelope& envelope, const std::optional<LiveGeneration>& live) {
  Json warnings = Json::array();
  const SnapshotOrigin& origin = *envelope.imported;
  if (origin.identity != as_recorded(envelope.identity))
    warnings.push_back("it was taken of " + origin.identity + ", not of " + as_recorded(envelope.identity));
  if (live && live->schema != envelope.schema)
    warnings.push_back("its schema is " + envelope.schema + ", that of the worker " + live->schema);
  return warnings;
}

}  // namespace

Json describe_snapshot(const SnapshotStore& store, const SnapshotEnvelope& envelope) {
  Json json = to_json(envelope);
  json["pinned"] = store.is_pinned(envelope.sequence);
  return json;
}

namespace keeping {

void pin(Targets targets, const Peer& peer, const Request& request) {
  set_pinned(targets, peer, request, true);
}

void unpin(Targets targets, const Peer& peer, const Request& request) {
  set_pinned(targets, peer, request, false);
}

void diff(Targets targets, const Peer& peer, const Request& request) {
  Worker* worker = find_worker(targets, peer, request);
  if (worker == nullptr) return;
  const auto a = take_sequence(peer, request, "a");
  if (!a) return;
  const auto b = take_sequence(peer, request, "b");
  if (!b) return;
  worker->snapshots().diff(*a, *b, [reply = reply_to(peer, request)](Result<Json> found) {
    if (!found) return reply(tl::unexpected(refusal_of(found.error())));
    reply(std::move(*found));
  });
}

void export_file(Targets targets, const Peer& peer, const Request& request) {
  Worker* worker = find_worker(targets, peer, request);
  if (worker == nullptr) return;
  const auto sequence = take_sequence(peer, request, "sequence");
  if (!sequence) return;
  const auto path = take_path(peer, request);
  if (!path) return;
  worker->snapshots().export_file(
      *sequence, *path,
      [reply = reply_to(peer, request), sequence = *sequence, path = *path](Result<std::uint64_t> bytes) {
        if (!bytes) return reply(tl::unexpected(refusal_of(bytes.error())));
        reply(Json{{"sequence", sequence}, {"path", path}, {"bytes", *bytes}});
      });
}

void import_file(Targets targets, const Peer& peer, const Request& request) {
  Worker* worker = find_worker(targets, peer, request);
  if (worker == nullptr) return;
  const auto path = take_path(peer, request);
  if (!path) return;
  worker->snapshots().import_file(*path, worker->name(),
                                  [reply = reply_to(peer, request), worker](Result<SnapshotEnvelope> taken) {
                                    if (!taken) {
                                      Refusal refusal = refusal_of(taken.error(), ErrorCode::Refused);
                                      if (refusal.code == ErrorCode::NotFound)
                                        refusal.hint = "name a file that zerothctl export wrote";
                                      return reply(tl::unexpected(std::move(refusal)));
                                    }
                                    Json json = describe_snapshot(worker->snapshots(), *taken);
                                    json["warnings"] = import_warnings(*taken, worker->generations().last_live());
                                    reply(std::move(json));
                                  });
}

}  // namespace keeping

}  // namespace zeroth
