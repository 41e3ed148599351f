#pragma once
// Which paths below a watched folder are nobody's program: version control, caches, editors' scratch files, and what
// --ignore names. A file that is itself a watch target is never filtered.

#include <string>
#include <string_view>
#include <vector>

namespace zeroth {

class PathFilter {
 public:
  // Globs as in fnmatch(3): without a slash they match a name anywhere, with one the path relative to the watched
  // folder (a leading slash only anchors); one that ends in a slash matches folders only.
  explicit PathFilter(const std::vector<std::string>& globs = {});

  // Is this one path ignored? What lies in an ignored folder is the caller's to skip.
  bool ignored(std::string_view relative_path, bool is_folder) const;

 private:
  struct Glob {
    std::string pattern;
    bool whole_path;
    bool folders_only;
  };
  std::vector<Glob> globs_;
};

}  // namespace zeroth
