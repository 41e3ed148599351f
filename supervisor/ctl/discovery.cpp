#include "supervisor/ctl/discovery.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "common/control_protocol.h"
#include "common/files.h"
#include "common/json_fields.h"
#include "common/text.h"
#include "common/users.h"

namespace zeroth {
namespace {

constexpr Milliseconds kProbe{1'000};

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

std::string state_home() {
  const std::string given = variable("XDG_STATE_HOME");
  return (given.empty() ? variable("HOME") + "/.local/state" : given) + "/zeroth";
}

// A runtime folder inside its state folder is called "run"; so is that of a program of this name.
Place place_at(const std::string& runtime_dir) {
  const std::string above = folder_of(runtime_dir);
  const bool in_root = name_of(above) == "zeroth" && folder_of(above) != state_home();
  const bool in_state = name_of(runtime_dir) == "run" && !in_root;
  if (!in_state) {
    const std::string name = name_of(runtime_dir);
    return {name, runtime_dir, state_home() + "/" + name};
  }
  const std::string state_dir = folder_of(runtime_dir);
  return {name_of(state_dir), runtime_dir, state_dir};
}

// A runtime folder that was given may go with any state folder: with the one whose record names it.
Place place_given(const std::string& runtime_dir) {
  Place place = place_at(runtime_dir);
  std::vector<std::string> candidates = {variable("ZEROTH_STATE_DIR"), place.state_dir};
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(state_home(), error)) candidates.push_back(entry.path());
  const std::string found = state_folder_of(runtime_dir, candidates);
  if (!found.empty()) place.state_dir = found;
  return place;
}

bool forbids(const std::error_code& error) {
  return error == std::errc::permission_denied;
}

// In a root that may not be looked into, `name` is taken to be there; without a name the root stands for all it holds.
std::vector<std::string> folders_in(const std::string& root, const std::string& name) {
  std::vector<std::string> found;
  std::error_code error;
  if (std::filesystem::directory_iterator(root, error); forbids(error))
    return {name.empty() ? root : root + "/" + name};
  for (std::filesystem::directory_iterator at(root, error), end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    if (at->is_directory(ignored)) found.push_back(at->path());
  }
  return found;
}

std::vector<std::string> runtime_folders(const std::string& name) {
  std::vector<std::string> roots = {"/run/user/" + std::to_string(::getuid()) + "/zeroth", "/run/zeroth"};
  if (const std::string given = variable("XDG_RUNTIME_DIR"); !given.empty())
    roots.insert(roots.begin(), given + "/zeroth");
  std::vector<std::string> folders;
  for (const std::string& root : roots) {
    for (std::string& folder : folders_in(root, name)) folders.push_back(std::move(folder));
  }
  for (const std::string& state : folders_in(state_home(), name)) {
    std::error_code error;
    if (std::filesystem::is_directory(state + "/run/snapshots", error)) continue;  // what a worker of this name keeps
    if (std::filesystem::is_directory(state + "/run", error) || forbids(error)) folders.push_back(state + "/run");
  }
  return folders;
}

bool exists(const std::string& path, mode_t* mode = nullptr) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return false;
  if (mode != nullptr) *mode = info.st_mode;
  return true;
}

// Is it another user's folder that keeps us from seeing whether `path` is there?
bool is_hidden(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) != 0 && errno == EACCES;
}

// Who keeps us from `path`: "/run/user/0 belongs to root (uid 0)", of it or of the folder on the way that hides it.
std::string describe_barrier(std::string path) {
  struct stat info {};
  while (::lstat(path.c_str(), &info) != 0 && path.find('/', 1) != std::string::npos) path = folder_of(path);
  return escape_control(path) + " belongs to " + describe_user(info.st_uid);
}

// instance.json in the state folder outlives a clean stop; it is a leftover only beside others.
std::vector<std::string> leftovers_of(const Place& place) {
  std::vector<std::string> found;
  for (const std::string& path : {place.runtime_dir + "/pid", control_socket_path(place.runtime_dir),
                                  place.runtime_dir + "/token", place.runtime_dir + "/instance.json"}) {
    if (exists(path)) found.push_back(path);
  }
  const std::string identity = place.state_dir + "/instance.json";
  if (!found.empty() && !place.state_dir.empty() && exists(identity)) found.push_back(identity);
  return found;
}

void judge_absent(Probe& probe, const Record& record) {
  probe.leftovers = leftovers_of(probe.place);
  if (is_alive(record)) {
    probe.presence = Presence::Unresponsive;
    probe.message = "its process lives, but nobody serves its socket";
  } else if (!probe.leftovers.empty()) {
    probe.presence = Presence::Stale;
    probe.message = "not running; files of a dead instance are left";
  } else {
    probe.message = "not running";
  }
}

void judge_silent(Probe& probe, const Record& record, const std::string& why) {
  probe.presence = is_alive(record) ? Presence::Unresponsive : Presence::Foreign;
  probe.message = probe.presence == Presence::Unresponsive ? "its process lives, but does not answer: " + why
                                                           : "the socket is held by something else: " + why;
}

void judge_denied(Probe& probe, const Record& record, const std::string& why) {
  judge_silent(probe, record, why);
  probe.message = "permission denied: " + why;
  probe.denied = true;
}

void judge_answer(Probe& probe, const Record& record, const Response& response) {
  const Json* supervisor = response.outcome ? find_member(*response.outcome, "supervisor") : nullptr;
  if (!response.outcome && response.outcome.error().code == ErrorCode::Busy) {
    probe.presence = Presence::Unresponsive;
    probe.message = response.outcome.error().message;
  } else if (!response.outcome && response.outcome.error().code == ErrorCode::Unauthorized) {
    judge_denied(probe, record, response.outcome.error().message);
  } else if (supervisor == nullptr || !supervisor->is_object()) {
    probe.presence = Presence::Incompatible;
    probe.message = response.outcome ? "its status names no supervisor" : response.outcome.error().message;
  } else {
    const auto answered = optional_field<std::int64_t>(*supervisor, "pid").value_or(std::nullopt);
    const bool foreign = record.pid && answered != record.pid && !is_alive(record);
    probe.presence = foreign ? Presence::Foreign : Presence::Running;
    probe.message = foreign ? "pid " + std::to_string(answered.value_or(0)) + " answers, recorded is " +
                                  std::to_string(*record.pid) + ", which is gone"
                            : "";
    probe.pid = answered;
    if (!foreign) probe.status = *response.outcome;
  }
}

}  // namespace

std::string_view to_string(Presence presence) {
  switch (presence) {
    case Presence::Running:
      return "running";
    case Presence::Stopped:
      return "stopped";
    case Presence::Stale:
      return "stale";
    case Presence::Unresponsive:
      return "unresponsive";
    case Presence::Foreign:
      return "foreign";
    case Presence::Incompatible:
      return "incompatible";
  }
  return "";
}

std::vector<Place> find_places(const std::string& name) {
  const std::string given = variable("ZEROTH_RUNTIME_DIR");
  if (name.empty() && !given.empty()) return {place_given(given)};
  std::vector<Place> places;
  std::set<std::string> seen;
  for (const std::string& folder : runtime_folders(name)) {
    std::error_code error;
    const std::string real = std::filesystem::canonical(folder, error);
    if ((error && !forbids(error)) || !seen.insert(error ? folder : real).second) continue;
    Place place = place_at(folder);
    if (name.empty() || place.name == name) places.push_back(std::move(place));
  }
  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) { return a.name < b.name; });
  return places;
}

Probe probe(const Place& place) {
  Probe probe;
  probe.place = place;
  const Record record = read_record(place);
  probe.pid = record.pid;
  probe.last_failure = record.last_failure;
  const std::string socket = control_socket_path(place.runtime_dir);
  for (const std::string& path : {place.runtime_dir + "/pid", socket}) {
    if (!is_hidden(path)) continue;
    judge_denied(probe, record, describe_barrier(path));
    return probe;
  }
  mode_t mode = 0;
  const bool there = exists(socket, &mode);
  auto client = there && S_ISSOCK(mode) ? Client::connect(socket, kProbe) : fail("no socket", ENOENT);
  if (!client) {
    const int code = client.error().code;
    if (code == EACCES || code == EPERM) {
      judge_denied(probe, record, code == EPERM ? client.error().message : describe_barrier(socket));
      return probe;
    }
    const bool free = code == ENOENT || code == ECONNREFUSED || code == ECONNRESET;
    free ? judge_absent(probe, record) : judge_silent(probe, record, client.error().message);
    return probe;
  }
  const auto response = client->call("status", Json::object(), kProbe);
  if (response) {
    judge_answer(probe, record, *response);
    if (probe.presence == Presence::Running) probe.client = std::move(*client);
  } else if (response.error().code == EBADMSG) {
    probe.presence = Presence::Incompatible;
    probe.message = response.error().message;
  } else {
    judge_silent(probe, record, response.error().message);
  }
  return probe;
}

std::vector<Probe> probe_all(const std::string& name) {
  std::vector<Probe> probes;
  for (const Place& place : find_places(name)) probes.push_back(probe(place));
  return probes;
}

}  // namespace zeroth
