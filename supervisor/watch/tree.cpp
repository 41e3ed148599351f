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

WatchScope::WatchScope(std::vector<std::string> targets, IgnoreRules ignored, const std::vector<std::string>& excluded)
    : targets_(std::move(targets)), ignored_(std::move(ignored)) {
  for (const std::string& path : excluded) {
    std::error_code unresolved;
    const std::filesystem::path real = std::filesystem::weakly_canonical(path, unresolved);
    excluded_.push_back(unresolved ? path : real.string());
  }
}

// Whatever `!*/` says, git itself never looks into a repository's folder.
bool WatchScope::skips(const FolderRules& rules, const std::string& root, std::string_view relative,
                       bool is_folder) const {
  const std::string_view name = relative.substr(relative.rfind('/') + 1);
  if (name == FolderRules::kRepository || (name == FolderRules::kFile && !is_folder)) return true;
  const std::string path = join_path(root, relative);
  if (std::ranges::find(excluded_, path) != excluded_.end()) return true;
  const IgnoreVerdict asked = ignored_.verdict(relative, is_folder);
  return asked == IgnoreVerdict::None ? rules.ignores(path, is_folder) : asked == IgnoreVerdict::Ignored;
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

FolderRulesPtr rules_in(FolderRulesPtr above, const std::string& folder, const std::vector<FolderEntry>& entries,
                        const FolderRules::OnUnreadable& on_unreadable) {
  const bool has_file = std::ranges::any_of(entries, [](const FolderEntry& entry) {
    return entry.name == FolderRules::kFile && entry.kind == FolderEntry::Kind::File;
  });
  return has_file ? FolderRules::with_file(std::move(above), folder, on_unreadable) : above;
}

void walk_files(const WatchScope& scope, const std::string& root, const std::function<void(std::string)>& on_file,
                const std::function<void(const Error&)>& on_unreadable) {
  struct Folder {
    std::string relative;
    FolderRulesPtr above;
  };
  std::vector<Folder> folders{{"", FolderRules::above(root, on_unreadable).rules}};
  while (!folders.empty()) {
    const Folder folder = std::move(folders.back());
    folders.pop_back();
    const std::string path = join_path(root, folder.relative);
    const auto entries = list_folder(path);
    if (!entries) {
      on_unreadable(entries.error());
      continue;
    }
    const FolderRulesPtr rules = rules_in(folder.above, path, *entries, on_unreadable);
    for (const FolderEntry& entry : *entries) {
      const bool is_folder = entry.kind == FolderEntry::Kind::Folder;
      std::string relative = join_path(folder.relative, entry.name);
      if (scope.skips(*rules, root, relative, is_folder)) continue;
      if (is_folder) {
        folders.push_back({std::move(relative), rules});
      } else {
        on_file(std::move(relative));
      }
    }
  }
}

}  // namespace zeroth
