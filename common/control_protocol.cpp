#include "common/control_protocol.h"

#include <unistd.h>

#include "common/hash.h"

namespace zeroth {
namespace {

constexpr SupervisorCommand kCommands[] = {
    {"ping", "{}", "answer, and nothing else"},
    {"version", "{}", "versions of zerothctl and of the running supervisor"},
    {"status", "{worker?}", "what runs, since when, and how it last went"},
    {"config", "{}", "every setting with its origin"},
    {"metrics", "{}", "counters and gauges of all workers, in the text format of Prometheus"},
    {"start", "{worker?, fresh?, fresh_key?, release?, wait?}", "start a worker that is stopped"},
    {"stop", "{worker?, force?}", "checkpoint and stop; with a single program, the supervisor too"},
    {"restart", "{worker?, fresh?, fresh_key?, release?, wait?}",
     "a fresh process with the living state, also if nothing changed"},
    {"reload", "{worker?, force?, wait?}", "the same, but only if the watched content changed"},
    {"rollback", "{generation | sequence, code_only?, state_only?, preview?, worker?, wait?}",
     "back to the code and state of a generation or a snapshot"},
    {"check", "{file?, last?, worker?}",
     "FILE: a program by itself; without FILE, or with --last N: the code on N kept snapshots, never live"},
    {"checkpoint", "{worker?}", "save the living state now; answered when it is durable"},
    {"snapshots", "{worker?, limit?, offset?}", "the kept snapshots, newest first"},
    {"snapshot", "{sequence}", "one snapshot, with its state if it is small"},
    {"pin", "{sequence, worker?}", "never prune this snapshot"},
    {"unpin", "{sequence, worker?}", "let it be pruned again when its time comes"},
    {"diff", "{a, b, worker?}", "what differs between the states of two snapshots"},
    {"export", "{sequence, path, worker?}", "copy a snapshot to a file that does not exist yet"},
    {"import", "{path, worker?}",
     "take such a file as a pinned snapshot; nothing goes on from it until rollback --sequence N --state-only"},
    {"generations", "{worker?, limit?, offset?}", "every spawned process and how it went, newest first"},
    {"logs", "{worker?, lines?, follow?}", "the last lines of output; may follow"},
    {"events", "{types?}", "what happens, as it happens"},
    {"env", "{reload?, worker?}",
     "the variables of a worker with their origin, values hidden; may read the env files again"},
    {"shutdown", "{}", "checkpoint, stop everything and end"},
    {"start-all", "{wait?}", "start all workers, also those that were stopped"},
    {"stop-all", "{force?}", "checkpoint and stop all workers; the supervisor stays, and remembers it"},
    {"rolling-restart", "{wait?}",
     "restart all workers, one at a time: the next when it is ready; ends at the first that fails"},
};

}  // namespace

std::span<const SupervisorCommand> supervisor_commands() {
  return kCommands;
}

const SupervisorCommand* find_supervisor_command(std::string_view name) {
  for (const SupervisorCommand& command : kCommands) {
    if (command.name == name) return &command;
  }
  return nullptr;
}

std::string control_socket_path(const std::string& runtime_dir) {
  std::string path = runtime_dir + "/control.sock";
  if (path.size() <= kMaxSocketPath) return path;
  return "/tmp/zeroth-" + std::to_string(::getuid()) + "/" + xxh3_hex(path).substr(0, 16) + ".sock";
}

}  // namespace zeroth
