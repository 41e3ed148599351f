#pragma once
// Every key of fleet.toml: what kind of value it takes and which option of the command line it is. One entry a key.

#include <span>
#include <string>
#include <string_view>

namespace zeroth {

enum class KeyKind {
  Text,       // a string
  Texts,      // a string, or a list of them: the option may be given several times
  Value,      // a string or a number, as the option takes it: "5s", 0.5, "512MB"
  Flag,       // true or false
  Path,       // a string; relative to the file's folder
  Paths,      // the same, or a list
  Addresses,  // of sockets; the path of a unix socket is one relative to the file's folder
  Variables,  // a table of NAME = value
  Limits,     // a table of resource = value
  Command,    // a list of words
  Workers,    // names of others
  Count,      // a whole number above 0, of the fleet's own
};

struct FleetKey {
  std::string_view name;
  KeyKind kind;
};

// Under [worker.NAME].
std::span<const FleetKey> worker_keys();
// Above them.
std::span<const FleetKey> fleet_keys();

// Null if there is none; a dash counts as an underscore.
const FleetKey* find_key(std::span<const FleetKey> keys, std::string_view name);
// Without dashes in front.
std::string option_of(const FleetKey& key);

}  // namespace zeroth
