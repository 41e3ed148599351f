#pragma once
// What an instance wrote about itself and left behind: which process it is, and its files. Hints, but for the recorded
// identity (pid, start time, boot id), which is certain.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/json.h"
#include "common/result.h"
#include "common/unique_fd.h"

namespace zeroth {

// Where one instance is, or was.
struct Place {
  std::string name;
  std::string runtime_dir;
  std::string state_dir;  // "" if it cannot be told
};

struct Record {
  std::optional<std::int64_t> pid;
  std::optional<std::int64_t> start_time;  // clock ticks since boot
  std::string boot;
  std::string state_dir;         // whose instance.json names this runtime folder; "": none does
  std::string socket, pid_file;  // "" where state_dir is
  Json last_failure;
};

// Unreadable is the same as nothing. An instance.json that names another runtime folder is of another instance.
Record read_record(const Place& place);

// The recorded process runs, as far as the record tells; a zombie does not.
bool is_alive(const Record& record);

// A pidfd of exactly the recorded process, to be signalled. Error.code: ESRCH, it is gone; EPERM, another user's;
// EINVAL, the record does not say for certain which process is meant.
Result<UniqueFd> open_process(const Record& record);

// The state folder whose instance.json names this runtime folder, of those given and all below the state home; "" if
// there is none.
std::string state_folder_of(const std::string& runtime_dir, const std::vector<std::string>& candidates);

// Removes socket, pid file and token of a dead instance, under the lock of its state folder: never a live one's.
// Returns what was removed; fails if it cannot be told whose they are.
Result<std::vector<std::string>> remove_leftovers(const Place& place);

}  // namespace zeroth
