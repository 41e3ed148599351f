#pragma once
// What a supervisor does first after its predecessor died: makes sure that no worker of that one runs any more before
// states are read. Every worker holds a shared lock on its alive-<generation>; here these are taken exclusively.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/loop/loop.h"
#include "common/unique_fd.h"
#include "supervisor/process/process_identity.h"
#include "supervisor/process/worker_place.h"

namespace zeroth {

// "<folder>/alive-<generation>", for SpawnRequest::alive_file.
std::string alive_file_of(const std::string& folder, std::uint64_t generation);

class AliveSweep {
 public:
  struct Hooks {
    std::function<void(const std::string&)> on_note;  // why it takes long, in words
    std::function<void()> on_done;                    // may destroy the sweep
  };

  // Looks at every alive file in the places of a worker. A lock that is free means nobody lives: the file is removed. A
  // held one is waited for: `patience` from now, and longer for as long as an emergency file is being written; then
  // the recorded process is killed if it is exactly that one, and of the user whose file says so; a second after it is
  // gone the holders are named and the sweep goes on without them. A place that cannot be read is tried again for as
  // long. on_done comes later than the constructor in every case.
  AliveSweep(Loop& loop, const std::vector<WorkerPlace>& places, Milliseconds patience, Hooks hooks);

 private:
  enum class State {
    Waiting,   // for the worker to write its state and to end
    Killed,    // the recorded process got KILL and is not gone yet
    Lingering  // the recorded process is gone (or unknown), somebody else holds the lock
  };
  struct Held {
    std::uint64_t generation = 0;
    std::string path;
    std::string saved;  // folder of its emergency file
    UniqueFd fd;
    std::optional<ProcessIdentity> owner;  // none if the record is torn
    State state = State::Waiting;
    MonotonicTime until;
    std::uint64_t written = 0;  // bytes of its emergency file under way, when last looked at
    MonotonicTime last_growth, looked{};
  };

  Status open_all(const WorkerPlace& place);
  bool has_opened(const WorkerPlace& place);
  void poll();
  // True when the file needs no more attention.
  bool step(Held& held);
  void give_up_on(const Held& held) const;
  bool being_written(Held& held) const;
  void note(const Held& held, const std::string& text) const;

  Milliseconds patience_;
  Hooks hooks_;
  std::vector<Held> held_;
  std::vector<WorkerPlace> unread_;
  const MonotonicTime began_ = monotonic_now();
  Timer timer_;
};

// Processes with this open file, by device and inode; for messages.
std::vector<pid_t> holders_of(int fd);

}  // namespace zeroth
