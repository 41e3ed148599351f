#include "supervisor/watch/folder_rules.h"

#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "common/files.h"
#include "supervisor/watch/tree.h"

namespace zeroth {
namespace {

constexpr std::size_t kMostBytes = 1 << 20;  // of a file of rules: each is tried on every path
constexpr std::string_view kExclude = "exclude";

// What version control, caches and editors leave behind. Weaker than any rule of the user's.
constexpr std::string_view kDefaults = R"(.git
.hg
.svn
.jj
node_modules
__pycache__
.venv
.mypy_cache
.pytest_cache
.ruff_cache
.tox
.idea
.vscode
.cache
.DS_Store
4913
?*~
?*.swp
?*.swo
?*.swx
.#?*
\#?*#
.goutputstream-?*
?*___jb_tmp___
?*___jb_old___
.nfs?*
?*.tmp
?*.pyc
?*.pyo
)";

bool exists(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0;
}

bool is_regular(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

std::string resolve(const std::string& folder, const std::string& path) {
  return path.starts_with('/') ? path : join_path(folder, path);
}

// The first line of a small file of git's, behind `label`; "" if there is none.
std::string git_line(const std::string& path, std::string_view label) {
  const auto text = read_file(path, 4096);
  if (!text || !text->starts_with(label)) return "";
  return text->substr(label.size(), text->find_first_of("\r\n") - label.size());
}

// The folder info/ of the repository whose work tree begins at `top`. A linked work tree or a submodule has a file
// instead of .git that names its folder; linked work trees share what is in the common one.
std::string info_folder(const std::string& top) {
  std::string git = join_path(top, FolderRules::kRepository);
  if (is_regular(git)) {
    const std::string named = git_line(git, "gitdir: ");
    if (named.empty()) return "";
    git = resolve(top, named);
    if (const std::string common = git_line(join_path(git, "commondir"), ""); !common.empty())
      git = resolve(git, common);
  }
  return join_path(git, "info");
}

// `root` and the folders above it up to the closest one with a repository, the outermost first; only `root` if none
// has.
std::vector<std::string> from_top(const std::string& root, bool& in_repository) {
  std::vector<std::string> folders{root};
  while (!exists(join_path(folders.front(), FolderRules::kRepository))) {
    if (folders.front() == "/") {
      in_repository = false;
      return {root};
    }
    folders.insert(folders.begin(), folder_of(folders.front()));
  }
  in_repository = true;
  return folders;
}

FolderRulesPtr with_rules(FolderRulesPtr above, const std::string& folder, const std::string& file,
                          const FolderRules::OnUnreadable& on_unreadable) {
  const auto text = read_file(file, kMostBytes);
  if (!text) {
    if (text.error().code != ENOENT) on_unreadable(text.error());
    return above;
  }
  IgnoreRules rules = IgnoreRules::parse(*text);
  if (rules.empty()) return above;
  return std::make_shared<const FolderRules>(std::move(above), folder, std::move(rules));
}

const FolderRulesPtr& default_rules() {
  static const FolderRulesPtr rules = std::make_shared<const FolderRules>(nullptr, "", IgnoreRules::parse(kDefaults));
  return rules;
}

}  // namespace

FolderRules::FolderRules(FolderRulesPtr above, std::string folder, IgnoreRules rules)
    : above_(std::move(above)), folder_(folder == "/" ? "" : std::move(folder)), rules_(std::move(rules)) {}

FolderRules::Above FolderRules::above(const std::string& root, const OnUnreadable& on_unreadable) {
  bool in_repository = false;
  const std::vector<std::string> folders = from_top(root, in_repository);
  Above result{default_rules(), {}};
  if (!in_repository) return result;
  const std::string info = info_folder(folders.front());
  if (!info.empty()) {
    result.sources.push_back({info, {std::string(kExclude)}});
    result.rules = with_rules(result.rules, folders.front(), join_path(info, kExclude), on_unreadable);
  }
  bool ignored = false;
  for (std::size_t i = 0; i + 1 < folders.size(); ++i) {
    result.sources.push_back({folders[i], {std::string(kFile), std::string(kRepository)}});
    const std::string file = join_path(folders[i], kFile);
    if (is_regular(file)) result.rules = with_file(result.rules, folders[i], on_unreadable);
    ignored = ignored || result.rules->ignores(folders[i + 1], true);
  }
  if (ignored) result.rules = default_rules();
  return result;
}

FolderRulesPtr FolderRules::with_file(FolderRulesPtr above, const std::string& folder,
                                      const OnUnreadable& on_unreadable) {
  return with_rules(std::move(above), folder, join_path(folder, kFile), on_unreadable);
}

bool FolderRules::ignores(std::string_view path, bool is_folder) const {
  for (const FolderRules* level = this; level != nullptr; level = level->above_.get()) {
    const IgnoreVerdict verdict = level->rules_.verdict(path.substr(level->folder_.size() + 1), is_folder);
    if (verdict != IgnoreVerdict::None) return verdict == IgnoreVerdict::Ignored;
  }
  return false;
}

}  // namespace zeroth
