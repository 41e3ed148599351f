#pragma once
// The ignore rules that hold in one folder of a watched tree: its own .gitignore before those of the folders above, up
// to the top of the git repository, then .git/info/exclude, then what we ignore by default. Made anew by whoever walks
// a tree (WatchSet, walk_files), so that every walk sees the rules as they are now; never changed once made.

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "supervisor/watch/ignore_rules.h"

namespace zeroth {

class FolderRules;
using FolderRulesPtr = std::shared_ptr<const FolderRules>;

class FolderRules {
 public:
  // A folder and the names in it that hold rules.
  struct Source {
    std::string folder;
    std::vector<std::string> names;
  };
  struct Above {
    FolderRulesPtr rules;
    std::vector<Source> sources;  // folders that exist, above the target or of git: what to watch for new rules
  };
  using OnUnreadable = std::function<void(const Error&)>;
  static constexpr std::string_view kFile = ".gitignore";
  static constexpr std::string_view kRepository = ".git";

  // What holds for the folder `root` (a real path) before its own file is looked at. A folder that these rules ignore
  // is watched all the same since it was asked for: then only the defaults hold.
  static Above above(const std::string& root, const OnUnreadable& on_unreadable);
  // The rules in `folder`, which has a .gitignore that is a regular file, below `above`.
  static FolderRulesPtr with_file(FolderRulesPtr above, const std::string& folder, const OnUnreadable& on_unreadable);

  FolderRules(FolderRulesPtr above, std::string folder, IgnoreRules rules);

  // Is this one path, given in full, ignored? What lies in an ignored folder is the caller's to skip.
  bool ignores(std::string_view path, bool is_folder) const;

 private:
  FolderRulesPtr above_;
  std::string folder_;  // without a slash at its end; "" for the root and for rules without a slash
  IgnoreRules rules_;
};

}  // namespace zeroth
