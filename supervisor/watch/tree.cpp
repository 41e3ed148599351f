#include "supervisor/watch/tree.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <optional>

namespace zeroth {
namespace {

std::optional<FolderEntry::Kind> kind_of(mode_t mode) {
  if (S_ISREG(mode)) return FolderEntry::Kind::File;
  if (S_ISDIR(mode)) return FolderEntry::Kind::Folder;
  if (S_ISLNK(mode)) return FolderEntry::Kind::Link;
  return std::nullopt;
}

std::optional<FolderEntry::Kind> kind_of(const std::string& folder, const dirent& entry) {
  if (entry.d_type != DT_UNKNOWN) return kind_of(DTTOIF(entry.d_type));
  struct stat info {};
  if (::lstat(join_path(folder, entry.d_name).c_str(), &info) != 0) return std::nullopt;
  return kind_of(info.st_mode);
}

}  // namespace

WatchScope::WatchScope(std::vector<std::string> targets, PathFilter filter, const std::vector<std::string>& excluded)
    : targets_(std::move(targets)), filter_(std::move(filter)) {
  for (const std::string& folder : excluded) {
    std::error_code unresolved;
    const std::filesystem::path real = std::filesystem::weakly_canonical(folder, unresolved);
    excluded_.push_back(unresolved ? folder : real.string());
  }
}

bool WatchScope::skips(const std::string& root, std::string_view relative, bool is_folder) const {
  if (filter_.ignored(relative, is_folder)) return true;
  if (!is_folder || excluded_.empty()) return false;
  return std::ranges::find(excluded_, join_path(root, relative)) != excluded_.end();
}

bool WatchScope::is_one_file() const {
  struct stat info {};
  return targets_.size() == 1 && (::stat(targets_[0].c_str(), &info) != 0 || !S_ISDIR(info.st_mode));
}

Result<std::vector<FolderEntry>> list_folder(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(path.c_str()), ::closedir);
  if (!folder) return fail(last_error(path));
  std::vector<FolderEntry> entries;
  errno = 0;
  while (const dirent* entry = ::readdir(folder.get())) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (const auto kind = kind_of(path, *entry)) entries.push_back({std::string(name), *kind});
    errno = 0;
  }
  if (errno != 0) return fail(last_error(path));
  return entries;
}

std::string join_path(std::string_view folder, std::string_view name) {
  if (folder.empty() || name.empty()) return std::string(folder.empty() ? name : folder);
  std::string path(folder);
  if (!path.ends_with('/')) path += '/';
  return path += name;
}

void walk_files(const WatchScope& scope, const std::string& root, const std::function<void(std::string)>& on_file,
                const std::function<void(const Error&)>& on_unreadable) {
  std::vector<std::string> folders{""};
  while (!folders.empty()) {
    const std::string folder = std::move(folders.back());
    folders.pop_back();
    const auto entries = list_folder(join_path(root, folder));
    if (!entries) {
      on_unreadable(entries.error());
      continue;
    }
    for (const FolderEntry& entry : *entries) {
      const bool is_folder = entry.kind == FolderEntry::Kind::Folder;
      std::string relative = join_path(folder, entry.name);
      if (scope.skips(root, relative, is_folder)) continue;
      if (is_folder) {
        folders.push_back(std::move(relative));
      } else {
        on_file(std::move(relative));
      }
    }
  }
}

}  // namespace zeroth
