#pragma once
// The kernel's file events: watches on folders, events as they come. WatchSet decides what they mean. All watchers of a
// loop share one descriptor, since a user may have only so many (fs.inotify.max_user_instances, often 128).

#include <sys/inotify.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/loop/loop.h"
#include "common/result.h"
#include "common/unique_fd.h"

namespace zeroth {

struct InotifyEvent {
  int wd;              // -1: events were lost (IN_Q_OVERFLOW)
  std::uint32_t mask;  // IN_…
  std::string name;
};

class Inotify;

// What the watchers share. Made on a loop, held by its watchers; the descriptor is there as long as one is.
class InotifyHub : public std::enable_shared_from_this<InotifyHub> {
 public:
  static std::shared_ptr<InotifyHub> on(Loop& loop) { return std::shared_ptr<InotifyHub>(new InotifyHub(loop)); }

 private:
  friend class Inotify;
  explicit InotifyHub(Loop& loop) : loop_(loop) {}
  Status join(Inotify* watcher);
  void leave(Inotify* watcher);
  Result<int> add(Inotify* watcher, const std::string& folder, std::uint32_t mask);
  void drop(Inotify* watcher, int wd);
  void on_readable();
  void read();
  void deliver(const inotify_event& event);

  Loop& loop_;
  UniqueFd fd_;
  std::unique_ptr<FdWatch> readable_;  // on fd_, so destroyed first
  std::vector<Inotify*> watchers_;
  std::unordered_map<int, std::vector<Inotify*>> watches_;
};

// One watcher's watches and events.
class Inotify {
 public:
  // `on_events`: there is something to read; may destroy this. Fails with a message that names the limit to raise.
  // `most_watches` is for tests.
  static Result<std::unique_ptr<Inotify>> open(std::shared_ptr<InotifyHub> hub, std::function<void()> on_events,
                                               std::size_t most_watches = std::numeric_limits<std::size_t>::max());
  ~Inotify() { hub_->leave(this); }
  Inotify(const Inotify&) = delete;
  Inotify& operator=(const Inotify&) = delete;

  // Watches a folder for `mask` besides what it is watched for already; the same folder has the same number. ENOSPC
  // and ENOMEM mean that no more can be watched and name the limit to raise.
  Result<int> add(const std::string& folder, std::uint32_t mask);
  void remove(int wd);
  // Watches that exist as far as we know; IN_IGNORED ends one.
  std::size_t count() const { return watches_.size(); }

  // Delivers what has come.
  void read(const std::function<void(const InotifyEvent&)>& on_event);

 private:
  friend class InotifyHub;
  Inotify(std::shared_ptr<InotifyHub> hub, std::function<void()> on_events, std::size_t most_watches)
      : hub_(std::move(hub)), on_events_(std::move(on_events)), most_watches_(most_watches) {}
  const std::shared_ptr<InotifyHub> hub_;
  const std::function<void()> on_events_;
  const std::size_t most_watches_;
  std::unordered_map<int, std::uint32_t> watches_;  // what each is watched for
  std::vector<InotifyEvent> waiting_;
};

}  // namespace zeroth
