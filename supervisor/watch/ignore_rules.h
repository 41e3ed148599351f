#pragma once
// The rules of one .gitignore, or of --ignore: which paths below its folder are nobody's program. Pure. FolderRules
// puts those of several folders together.

#include <string>
#include <string_view>
#include <vector>

#include "supervisor/watch/glob.h"

namespace zeroth {

enum class IgnoreVerdict {
  None,      // no rule says anything
  Ignored,   //
  Included,  // a rule with `!` says so, whatever rules of less weight say
};

class IgnoreRules {
 public:
  IgnoreRules() = default;
  // A file's text as git reads it: a rule a line, `#` comments, LF or CRLF, with or without a byte-order mark.
  static IgnoreRules parse(std::string_view text);
  // The rules of --ignore, one each.
  static IgnoreRules of(const std::vector<std::string>& patterns);

  bool empty() const { return rules_.empty(); }
  // What the last rule that matches says of this one path, given relative to the rules' folder. What lies in an ignored
  // folder is the caller's to skip: git does not look there, so nothing in it can be included again.
  IgnoreVerdict verdict(std::string_view relative_path, bool is_folder) const;

 private:
  struct Rule {
    Glob glob;
    bool included;      // begins with `!`
    bool folders_only;  // ends with a slash
    bool whole_path;    // has a slash elsewhere; else it matches a name at any depth
  };
  void add_line(std::string_view line);
  std::vector<Rule> rules_;
};

}  // namespace zeroth
