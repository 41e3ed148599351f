#pragma once
// Starts one program: fork, prepare, exec. On a thread that lives as long as the supervisor does (PDEATHSIG follows the
// thread): the loop's or one of the pool, which may wait for the disk of the alive file.
// The child has a group of its own, no controlling terminal but one it is given, an empty signal mask, default
// dispositions, no descriptor but those named here, and is known by a pidfd from birth.

#include <sys/resource.h>
#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "common/unique_fd.h"
#include "supervisor/process/number_note.h"
#include "supervisor/process/pty.h"

namespace zeroth {

enum class StdinMode {
  Null,     // /dev/null
  Inherit,  // ours
};

struct RunAs {
  uid_t user = 0;
  gid_t group = 0;
  std::vector<gid_t> groups;  // supplementary
};

struct ResourceLimit {
  int resource = 0;  // RLIMIT_…
  rlimit limit{};
};

struct SpawnRequest {
  std::vector<std::string> argv;  // argv[0] without a slash is looked up in the PATH of `env`; never through a shell
  std::vector<std::string> env;   // "NAME=value", all of it; ZEROTH_FD, LISTEN_FDS and LISTEN_PID are added here
  std::string cwd;                // "" = ours
  int channel = -1;               // the child's end; stays the caller's to close. -1 = none
  std::vector<int> lent;          // listening sockets, become 3, 4, … in this order
  StdinMode stdin_mode = StdinMode::Null;
  std::optional<WorkerTerminal> terminal;  // nullopt: stdout and stderr are pipes
  // Locked shared for as long as the child or one of its children lives; "" = none. With run_as it is that user's.
  std::string alive_file;
  std::shared_ptr<NumberNote> number;  // of the generation whose file it is, removed through it; null: of none
  // A session of its own, not only a group: no terminal reaches it, and its orphans are known by it. Costs a start up
  // to tens of ms on a busy machine, because a new session is a new scheduling group (autogroup).
  bool new_session = false;
  bool die_with_us = false;  // SIGTERM when the supervisor dies
  std::optional<mode_t> umask;
  std::optional<RunAs> run_as;
  std::vector<ResourceLimit> limits;
};

struct Spawned {
  pid_t pid = 0;  // also its process group
  UniqueFd pidfd;
  // What comes from its stdout and stderr: pipes, or masters of terminals. One for both if the terminal is also its
  // stdin: then `err` is none.
  UniqueFd out, err;
};

// Blocks as the disk does.
void remove_alive_file(const std::string& path, const std::shared_ptr<NumberNote>& number);

// Returns when the child has become the program. A program that cannot be executed is an Error ("exec failed: NAME: No
// such file or directory"), and so never mistaken for one that exits with 127; so is everything else that fails before
// exec. Nothing is left behind then.
Result<Spawned> spawn(const SpawnRequest& request);

}  // namespace zeroth
