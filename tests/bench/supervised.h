#pragma once
// A running zeroth-supervise for bench_reload: its program in a temporary folder, its stream of events, its worker's
// pid.

#include <sys/types.h>

#include <filesystem>
#include <string>

#include "common/json.h"
#include "common/unique_fd.h"

namespace zeroth {

class Supervised {
 public:
  // Starts `bin`/zeroth-supervise on a small program and waits until it is live. Exits the bench if that fails.
  explicit Supervised(const std::string& bin);
  ~Supervised();
  Supervised(const Supervised&) = delete;
  Supervised& operator=(const Supervised&) = delete;

  // Writes the program anew and leaves it open: closing the descriptor is the save.
  UniqueFd write_program(int edition) const;
  // The line of the next event of this type.
  std::string next_event(const std::string& type);
  // Drops what has come so far and waits for a sign of an untroubled life.
  void settle();
  // Of the live generation.
  pid_t worker_pid() const;
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

 private:
  UniqueFd connect(const std::string& command) const;

  std::filesystem::path folder_;
  pid_t process_ = -1;
  UniqueFd said_;  // its standard error
  UniqueFd events_;
  std::string received_;
};

// The data of an event or the result of a response.
Json payload_of(const std::string& line);

}  // namespace zeroth
