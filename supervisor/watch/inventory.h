#pragma once
// The watched files as stat(2) sees them: what the slow poll compares, and how a change is found when events were lost.

#include <sys/stat.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "supervisor/watch/tree.h"

namespace zeroth {

// Equal stamps: the content is the same, unless it was written again within the clock tick of the first look.
struct FileStamp {
  std::uint64_t device = 0, inode = 0, size = 0;
  std::int64_t mtime_ns = 0, ctime_ns = 0;
  bool operator==(const FileStamp&) const = default;
  // Was it written so shortly before `wall_ns` that a later write could leave the stamp as it is?
  bool fresh_at(std::int64_t wall_ns) const;
};

FileStamp stamp_from(const struct stat& info);
// Of a regular file, through symbolic links; of the link itself if it leads to a folder or nowhere. Else nullopt.
std::optional<FileStamp> stamp_of(const std::string& path);

std::int64_t wall_ns();

class Inventory {
 public:
  // Looks at every file of the scope. Names are the target's as given, for a folder with the relative path behind it.
  static Inventory take(const WatchScope& scope);

  // Names that are in one only, or in both with different stamps. With `distrust_fresh` a file that was written just
  // before it was first looked at counts as changed: its stamp may be that of two contents.
  static std::vector<std::string> difference(const Inventory& before, const Inventory& after, bool distrust_fresh);

  // Is `path` a known file, or a folder with known files in it?
  bool knows(const std::string& path) const;
  // Looks at this path again. Returns false if there is no file now.
  bool refresh(const std::string& path);
  // Takes over what `other` says of `path` and of all below it.
  void copy_from(const Inventory& other, const std::string& path);
  std::size_t size() const { return files_.size(); }

 private:
  struct Seen {
    FileStamp stamp;
    bool fresh;
  };
  void erase(const std::string& path);
  std::map<std::string, Seen> files_;
};

}  // namespace zeroth
