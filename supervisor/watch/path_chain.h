#pragma once
// Every name that decides what a path leads to: the path's own last name, each symbolic link on the way, and the folder
// each of these lies in. WatchSet watches them; a change of any of them may change what the path means.

#include <string>
#include <vector>

namespace zeroth {

struct ChainLink {
  std::string folder;  // real path of an existing folder
  std::string name;    // in that folder; it may be missing
  bool final = false;  // the name of the file or folder itself, not of something on the way
  bool operator==(const ChainLink&) const = default;
};

struct PathChain {
  std::vector<ChainLink> links;
  std::string real;  // where the path leads, without symbolic links; "" if it leads nowhere
  bool is_folder = false;
  bool operator==(const PathChain&) const = default;
};

// Follows `path` as the file system stands now. If a part is missing, the links end with that part's name in the
// deepest folder there is.
PathChain follow_path(const std::string& path);

}  // namespace zeroth
