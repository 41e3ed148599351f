#pragma once
// Decides who runs on a state folder: flock on <state>/lock, held until the process ends. Taken before anything in the
// folder is read or written.

#include <string>

#include "common/result.h"
#include "common/unique_fd.h"

namespace zeroth {

class InstanceLock {
 public:
  // EWOULDBLOCK if another instance holds it. The file is made if missing and never unlinked; one with several names,
  // of another owner, or that is no plain file is refused.
  static Result<InstanceLock> take(const std::string& state);
  // Whether the file that is locked is still the one with this name: else it excludes nobody.
  bool holds(const std::string& state) const;

 private:
  explicit InstanceLock(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

// Makes the folder (0700) if it is missing; refuses one of another owner, or that its group or all may write to.
Status prepare_private_folder(const std::string& path);

}  // namespace zeroth
