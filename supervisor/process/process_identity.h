#pragma once
// Which process is meant: a pid alone is reused, a pid with its start time and the boot it belongs to is not. Written
// into alive files and instance.json; nobody recorded is signalled without it.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/json.h"
#include "common/result.h"

namespace zeroth {

// What /proc/PID/stat says, as far as we ask.
struct ProcStat {
  char state = 0;  // 'Z' zombie, 'X' dead, 'T' stopped …
  pid_t parent = 0;
  pid_t session = 0;
  std::uint64_t start_time = 0;  // clock ticks since boot
};
// Allocates nothing: also called between fork and exec.
std::optional<ProcStat> parse_proc_stat(std::string_view text);
std::optional<ProcStat> read_proc_stat(pid_t pid);

struct ProcessIdentity {
  pid_t pid = 0;
  std::uint64_t start_time = 0;
  std::string boot_id;
  bool operator==(const ProcessIdentity&) const = default;
};
Result<ProcessIdentity> identity_of(pid_t pid);
Json to_json(const ProcessIdentity& identity);
// Reads the members pid, start_time and boot_id of an object that may have others.
Result<ProcessIdentity> parse_identity(const Json& object);

// Exactly this process runs (a zombie does not).
bool is_alive(const ProcessIdentity& identity);
// Signals exactly this process, through a pidfd; fails with ESRCH if it is gone, whoever has its pid now.
Status signal_process(const ProcessIdentity& identity, int signal);

// "4242 (sleep)", for messages.
std::string describe_process(pid_t pid);

}  // namespace zeroth
