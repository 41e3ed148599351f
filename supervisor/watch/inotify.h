#pragma once
// The kernel's file events: one descriptor, watches on folders, events as they come. WatchSet decides what they mean.

#include <sys/inotify.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_set>

#include "common/result.h"
#include "common/unique_fd.h"

namespace zeroth {

struct InotifyEvent {
  int wd;              // -1: events were lost (IN_Q_OVERFLOW)
  std::uint32_t mask;  // IN_…
  std::string_view name;
};

class Inotify {
 public:
  // Fails with a message that names the limit to raise. `most_watches` is for tests.
  static Result<Inotify> open(std::size_t most_watches = std::numeric_limits<std::size_t>::max());

  int fd() const { return fd_.get(); }

  // Watches a folder for `mask` besides what it is watched for already; the same folder has the same number. ENOSPC
  // and ENOMEM mean that no more can be watched and name the limit to raise.
  Result<int> add(const std::string& folder, std::uint32_t mask);
  void remove(int wd);
  // Watches that exist as far as we know; IN_IGNORED ends one.
  std::size_t count() const { return watches_.size(); }

  // Delivers what is there to read, but no more than a bounded amount: call again when the descriptor is readable.
  void read(const std::function<void(const InotifyEvent&)>& on_event);

 private:
  Inotify(UniqueFd fd, std::size_t most_watches) : fd_(std::move(fd)), most_watches_(most_watches) {}
  UniqueFd fd_;
  std::size_t most_watches_;
  std::unordered_set<int> watches_;
};

}  // namespace zeroth
