#pragma once
// Tells its owner that the watched files may have changed, once they have settled. Whether their content differs is for
// the owner to decide, by hash_targets(). One a worker; lives on the loop, which it never blocks once started.
//
// Two sources find changes: inotify at once, and a slow poll for what it does not see (mmap, network file systems). If
// inotify cannot be had, the poll runs every second instead and says so.

#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/loop/loop.h"
#include "supervisor/watch/debounce.h"
#include "supervisor/watch/inventory.h"
#include "supervisor/watch/watch_set.h"

namespace zeroth {

enum class WatchMode { Inotify, Poll };
std::string_view to_string(WatchMode mode);

struct Changes {
  std::vector<std::string> paths;  // the first 20 in order, as the targets were named; some may be gone now
  std::size_t count = 0;           // of all; a sub-folder that is gone counts once
  MonotonicTime first_event;
  bool settled = true;  // else one file is complete and more may follow: reported once more when nothing has
  bool more = false;    // of one that was reported before: files that were there were touched since
};

class FileWatcher {
 public:
  struct Options {
    std::shared_ptr<const WatchScope> scope;
    std::optional<Milliseconds> quiet;          // --debounce; else default_quiet()
    bool recreate = false;                      // the worker's reload mode, for default_quiet()
    bool poll = false;                          // --poll: no inotify
    bool early = false;                         // reports the first complete save also before the rest has settled
    std::optional<Milliseconds> poll_interval;  // else 30 s, with poll 1 s
    std::shared_ptr<InotifyHub> hub;            // to share with other watchers; null: one of its own
    std::size_t most_watches = std::numeric_limits<std::size_t>::max();  // for tests
  };

  // `on_change` may destroy the watcher. `on_note` gets a message for the log when inotify had to be given up.
  FileWatcher(Loop& loop, Options options, std::function<void(const Changes&)> on_change,
              std::function<void(const std::string&)> on_note);

  // Every change after this returns will be reported. Looks at every watched file, so it takes a while for large
  // folders: 10,000 files in 1,000 folders 0.1 to 0.2 s.
  void start();

  // The worker's reload mode changed.
  void set_recreate(bool recreate);

  WatchMode mode() const { return set_ ? WatchMode::Inotify : WatchMode::Poll; }
  std::size_t watches() const { return set_ ? set_->count() : 0; }
  std::size_t files() const { return inventory_.size(); }
  // Something has happened that will be reported, or be found to be nothing.
  bool settling() const { return debounce_.due().has_value(); }

 private:
  Status open_inotify(MonotonicTime scan_until);
  void fall_back(const Error& error);
  void start_poll(Milliseconds fallback);
  void on_readable();
  void start_over();
  void scan();
  void survey();
  void on_surveyed(Inventory now);
  void note(FileEvent event, const std::string& path, bool known);
  void settle();
  void report();
  void report_early();

  Loop& loop_;
  Options options_;
  std::function<void(const Changes&)> on_change_;
  std::function<void(const std::string&)> on_note_;
  bool one_file_;
  Debounce debounce_;
  std::unique_ptr<WatchSet> set_;
  Timer settle_timer_;
  Timer poll_timer_;

  Inventory inventory_;                  // as of the last survey and, for what was reported since, the report
  std::map<std::string, bool> pending_;  // changed path -> had it been there before
  bool too_many_ = false;                // more changed than pending_ takes; a survey will find them
  enum class Early { None, Due, Told, Past } early_ = Early::None;  // of what is pending; Past: not to be told
  bool more_ = false;                                               // since it was told

  bool scanning_ = false;            // new folders are left to watch; a turn of the loop for them is due
  bool survey_after_scan_ = false;   // the scan is a new beginning: what happened meanwhile is unknown
  bool surveying_ = false;           // the thread pool looks at all files
  bool survey_again_ = false;        // something was lost since it began
  std::set<std::string> overtaken_;  // reported since it began: what it says of them may be older

  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace zeroth
