#pragma once
// Which folders are watched for which targets, and what the kernel's events mean for them. Owned by FileWatcher, which
// throws it away and makes a new one when events were lost; it is never repaired.
//
// A file itself is never watched (its watch would die with the first rename), but its folder, every folder that holds a
// symbolic link on the way to it, and the parents of these. Of a folder target every sub-folder is watched.

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/clock.h"
#include "supervisor/watch/inotify.h"
#include "supervisor/watch/path_chain.h"
#include "supervisor/watch/tree.h"

namespace zeroth {

enum class FileEvent {
  Saved,     // complete: closed after writing, renamed into place, linked, or its path leads to another file now
  Modified,  // somebody writes to it
  Removed,   // gone; of a folder target perhaps a whole sub-folder
};

class WatchSet {
 public:
  // `path` is the target as given, for a folder with the relative path behind it.
  using OnEvent = std::function<void(FileEvent, const std::string& path)>;

  struct Source {
    std::shared_ptr<InotifyHub> hub;
    std::function<void()> on_readable;  // read() is due
    std::size_t most_watches;
  };

  // Watches the ways to all targets; folder targets wait for scan(). Errors here and below: no more can be watched.
  static Result<std::unique_ptr<WatchSet>> open(std::shared_ptr<const WatchScope> scope, Source source,
                                                OnEvent on_event);

  // Watches folders that were found until `until` has passed. True if some are left: call again.
  Result<bool> scan(MonotonicTime until);

  // Handles events that are there. True if it lost sight: events were dropped, a folder target is another one now, or
  // the ignore rules changed.
  Result<bool> read();

  std::size_t count() const { return inotify_->count(); }

 private:
  struct LinkRole {
    std::size_t target;
    std::string name;
    bool final;
  };
  struct TreeRole {
    std::size_t target;
    std::string relative;  // "" for the target itself
    FolderRulesPtr rules;  // that hold in it
  };
  // A folder outside the trees, watched for rules that hold in one.
  struct RulesRole {
    std::size_t target;
    std::vector<std::string> names;
  };
  // One watched folder and what it is watched for.
  struct Watch {
    std::string folder;
    std::vector<LinkRole> links;
    std::vector<TreeRole> trees;
    std::vector<RulesRole> rules;
  };
  struct ScanJob {
    std::size_t target;
    std::string relative;
    FolderRulesPtr above;
    bool report;  // what is found is new to the owner
  };

  WatchSet(std::unique_ptr<Inotify> inotify, std::shared_ptr<const WatchScope> scope, OnEvent on_event);
  Status follow(std::size_t target);
  Status watch_links(std::size_t target);
  Status watch_rules(std::size_t target);
  Status scan_one(const ScanJob& job);
  Status on_inotify(const InotifyEvent& event);
  Status on_link(const LinkRole& role, const std::string& folder, const InotifyEvent& event);
  static bool changes_rules(const TreeRole& role, const InotifyEvent& event, const std::string& path);
  void on_tree(const TreeRole& role, const std::string& folder, const InotifyEvent& event);
  void forget_folder(std::size_t target, const std::string& relative);
  void remove_if_unused(int wd);

  std::unique_ptr<Inotify> inotify_;
  std::shared_ptr<const WatchScope> scope_;
  OnEvent on_event_;
  std::vector<PathChain> chains_;  // one a target
  std::unordered_map<int, Watch> watches_;
  std::deque<ScanJob> jobs_;
  bool lost_ = false;
  bool rules_changed_ = false;
};

}  // namespace zeroth
