#include "supervisor/watch/path_filter.h"

#include <fnmatch.h>

#include <algorithm>

namespace zeroth {
namespace {

constexpr std::string_view kIgnoredNames[] = {
    ".git",          ".hg",         ".svn", ".jj",   "node_modules", "__pycache__", ".venv",     ".mypy_cache",
    ".pytest_cache", ".ruff_cache", ".tox", ".idea", ".vscode",      ".cache",      ".DS_Store", "4913",
};

// A name is ignored if it begins and ends so.
struct Affixes {
  std::string_view begin, end;
};
constexpr Affixes kAffixes[] = {
    {"", "~"},                // backups
    {"", ".swp"},             // vim
    {"", ".swo"},             //
    {"", ".swx"},             //
    {".#", ""},               // emacs: lock
    {"#", "#"},               // emacs: autosave
    {".goutputstream-", ""},  // glib
    {"", "___jb_tmp___"},     // JetBrains
    {"", "___jb_old___"},     //
    {".nfs", ""},             // deleted while open
    {"", ".tmp"},             //
    {"", ".pyc"},             //
    {"", ".pyo"},             //
};

bool ignored_by_default(std::string_view name) {
  if (std::ranges::find(kIgnoredNames, name) != std::end(kIgnoredNames)) return true;
  return std::ranges::any_of(kAffixes, [&](const Affixes& affixes) {
    return name.size() > affixes.begin.size() + affixes.end.size() && name.starts_with(affixes.begin) &&
           name.ends_with(affixes.end);
  });
}

}  // namespace

PathFilter::PathFilter(const std::vector<std::string>& globs) {
  for (std::string pattern : globs) {
    const bool folders_only = pattern.ends_with('/');
    if (folders_only) pattern.pop_back();
    const bool whole_path = pattern.find('/') != std::string::npos;
    if (pattern.starts_with('/')) pattern.erase(0, 1);
    if (!pattern.empty()) globs_.push_back({std::move(pattern), whole_path, folders_only});
  }
}

bool PathFilter::ignored(std::string_view relative_path, bool is_folder) const {
  const std::string_view name = relative_path.substr(relative_path.rfind('/') + 1);
  if (ignored_by_default(name)) return true;
  if (globs_.empty()) return false;
  const std::string path_text(relative_path);
  const char* name_text = path_text.c_str() + (relative_path.size() - name.size());
  return std::ranges::any_of(globs_, [&](const Glob& glob) {
    if (glob.folders_only && !is_folder) return false;
    return ::fnmatch(glob.pattern.c_str(), glob.whole_path ? path_text.c_str() : name_text, FNM_PATHNAME) == 0;
  });
}

}  // namespace zeroth
