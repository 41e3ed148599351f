#pragma once
// Tells when a file has been saved: at once when another file was renamed to its name, else when it was closed after a
// write and stood still. Begun before whoever saves is asked to.

#include <optional>
#include <string>

#include "common/clock.h"
#include "common/result.h"
#include "common/unique_fd.h"

namespace zeroth {

class SaveWatch {
 public:
  static constexpr Milliseconds kQuiet{50};  // after a close

  // Fails if the folder is not there, or the machine has no watches left.
  static Result<SaveWatch> begin(const std::string& path);

  // Readable when there is something for read().
  int fd() const { return fd_.get(); }
  void read();
  // Is it saved, as far as read() has told?
  bool saved(MonotonicTime now) const { return replaced_ || (quiet_from_ && *quiet_from_ + kQuiet <= now); }
  // When to ask again although nothing was told; nullopt: not before.
  std::optional<MonotonicTime> ask_at() const;

 private:
  SaveWatch(UniqueFd fd, std::string name) : fd_(std::move(fd)), name_(std::move(name)) {}
  UniqueFd fd_;
  std::string name_;
  bool replaced_ = false;
  std::optional<MonotonicTime> quiet_from_;
};

// Signals by which a program can be asked for something: "USR1", "SIGHUP", "RTMIN+2". The error lists them.
Result<int> parse_signal(std::string_view name);
std::string name_of_signal(int signal);
// Whether the process does something of its own at this signal; the error says what would happen instead.
Status check_handles(pid_t pid, int signal);

}  // namespace zeroth
