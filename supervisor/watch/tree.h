#pragma once
// What is watched, and walking it: targets as the user named them, what is left out, and the files below a folder.
// Used on the loop (WatchSet) and on the thread pool (Inventory, hash_targets); a WatchScope is never changed once
// shared.

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "supervisor/watch/folder_rules.h"
#include "supervisor/watch/ignore_rules.h"

namespace zeroth {

struct FolderEntry {
  enum class Kind { File, Folder, Link };
  std::string name;
  Kind kind;
};

class WatchScope {
 public:
  // Targets are files or folders, existing or not yet; a file that is a target is never left out. `ignored` (--ignore)
  // counts for more than any .gitignore and is relative to the folder target. Excluded paths (the supervisor's own
  // state) are never looked into, wherever they lie below a target and whatever the rules say.
  explicit WatchScope(std::vector<std::string> targets, IgnoreRules ignored = {},
                      const std::vector<std::string>& excluded = {});

  const std::vector<std::string>& targets() const { return targets_; }
  // Is `relative`, below a folder target whose real path is `root`, left out by the rules of its folder or by this
  // scope? Files of rules are: they say what is watched and are no part of it.
  bool skips(const FolderRules& rules, const std::string& root, std::string_view relative, bool is_folder) const;
  // One target, and it is no folder now.
  bool is_one_file() const;

 private:
  std::vector<std::string> targets_;
  IgnoreRules ignored_;
  std::vector<std::string> excluded_;
};

// The entries of a folder but for FIFOs, sockets and devices, in no order.
Result<std::vector<FolderEntry>> list_folder(const std::string& path);

// The rules in a folder with these entries, below `above`.
FolderRulesPtr rules_in(FolderRulesPtr above, const std::string& folder, const std::vector<FolderEntry>& entries,
                        const FolderRules::OnUnreadable& on_unreadable);

std::string join_path(std::string_view folder, std::string_view name);

// Calls for each file and symbolic link below the folder `root` (a real path), in no order, with its path relative to
// `root`. Links are not followed. What cannot be read, a folder or the rules in it, is named to `on_unreadable` and
// passed over.
void walk_files(const WatchScope& scope, const std::string& root,
                const std::function<void(std::string relative)>& on_file,
                const std::function<void(const Error&)>& on_unreadable);

}  // namespace zeroth
