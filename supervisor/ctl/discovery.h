#pragma once
// Which instances there are, and in what state: zerothctl looks into the folders of terminal.md and asks each socket.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "supervisor/ctl/client.h"
#include "supervisor/ctl/record.h"

namespace zeroth {

enum class Presence {
  Running,       // answers as a supervisor should
  Stopped,       // nothing there
  Stale,         // files of a dead one
  Unresponsive,  // its process lives and does not answer
  Foreign,       // something answers or holds the socket, but not the recorded process
  Incompatible,  // answers, but not what we understand
};
std::string_view to_string(Presence presence);

struct Probe {
  Place place;
  Presence presence = Presence::Stopped;
  std::string message;              // one line for people
  std::optional<std::int64_t> pid;  // of the supervisor, as answered or as recorded
  Json status;                      // its answer; an object only if Running
  Json last_failure;                // as recorded; null for none
  std::vector<std::string> leftovers;
  bool denied = false;           // we may not ask: it is another user's; `message` says whose
  std::optional<Client> client;  // only if Running
};

// `name` (from -n) wherever that name is; else $ZEROTH_RUNTIME_DIR alone; else all there are. Sorted by name.
std::vector<Place> find_places(const std::string& name);

// Asks for its status, at most a second.
Probe probe(const Place& place);

std::vector<Probe> probe_all(const std::string& name);

}  // namespace zeroth
