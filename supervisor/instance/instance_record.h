#pragma once
// <state>/instance.json and <runtime>/pid: what an instance writes about itself for whoever comes later. Hints only;
// who runs is decided by InstanceLock. Written by the holder of the lock.

#include <sys/types.h>

#include <string>
#include <vector>

#include "common/result.h"
#include "supervisor/process/process_identity.h"

namespace zeroth {

struct InstanceRecord {
  std::string identity;             // Identity::key
  std::string worker;               // name of the worker, and of its folder; "" in older records
  std::vector<std::string> former;  // identities whose state was taken over with --adopt
  std::string runtime;
  std::string socket;
  std::string pid_file;
  std::string unit;  // systemd's, "" = none
  ProcessIdentity process;
};

// ENOENT if there was never one here.
Result<InstanceRecord> read_instance_record(const std::string& state);
// Atomic.
Status write_instance_record(const std::string& state, const InstanceRecord& record);

// Writes our pid. Refuses to replace what is not a plain file of one name. The message begins with "pid file".
Status write_pid_file(const std::string& path);
// Removes it if it names us.
void remove_pid_file(const std::string& path);

// Removes socket, pid file and token of a dead instance: only if its recorded process is gone, the pid file still names
// it, and the socket is one. Returns what was removed. For the holder of the lock of its state folder.
std::vector<std::string> remove_leftovers(const InstanceRecord& dead);

}  // namespace zeroth
