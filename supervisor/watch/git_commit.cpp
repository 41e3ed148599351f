#include "supervisor/watch/git_commit.h"

#include <sys/stat.h>

#include <cstdlib>
#include <memory>
#include <string_view>

#include "common/files.h"

namespace zeroth {
namespace {

constexpr std::size_t kSmall = 64 * 1024;          // HEAD, a reference
constexpr std::size_t kPackedRefs = 64 << 20;      // a line for each reference
constexpr std::string_view kReference = "ref: ";   // HEAD on a branch
constexpr std::string_view kElsewhere = "gitdir: "; // .git of a linked working tree

// The first line of a small file.
std::string line_of(const std::string& path) {
  const auto text = read_file(path, kSmall);
  return text ? text->substr(0, text->find_first_of("\r\n")) : "";
}

std::string absolute(const std::string& path, const std::string& from) {
  return path.starts_with('/') ? path : from + "/" + path;
}

bool is_commit(std::string_view text) {
  return (text.size() == 40 || text.size() == 64) &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// The folder with HEAD of the innermost repository around `folder`; "" if there is none.
std::string repository_of(std::string folder) {
  for (;;) {
    const std::string git = folder + "/.git";
    struct stat info {};
    if (::stat(git.c_str(), &info) == 0) {
      if (S_ISDIR(info.st_mode)) return git;
      const std::string told = line_of(git);
      return told.starts_with(kElsewhere) ? absolute(told.substr(kElsewhere.size()), folder) : "";
    }
    const std::string parent = folder_of(folder);
    if (parent == folder || parent == ".") return "";
    folder = parent;
  }
}

std::string packed(const std::string& repository, const std::string& name) {
  const auto refs = read_file(repository + "/packed-refs", kPackedRefs);
  const std::size_t found = refs ? ("\n" + *refs).find(" " + name + "\n") : std::string::npos;
  if (found == std::string::npos) return "";
  const std::size_t begin = ("\n" + *refs).rfind('\n', found);
  return refs->substr(begin, found - begin - 1);
}

}  // namespace

std::string git_commit_of(const std::string& folder) {
  const std::unique_ptr<char, void (*)(void*)> real(::realpath(folder.c_str(), nullptr), std::free);
  const std::string repository = real ? repository_of(real.get()) : "";
  if (repository.empty()) return "";
  const std::string head = line_of(repository + "/HEAD");
  if (is_commit(head)) return head;
  if (!head.starts_with(kReference)) return "";
  const std::string name = head.substr(kReference.size());
  if (name.find("..") != std::string::npos || name.starts_with('/')) return "";
  const std::string common = line_of(repository + "/commondir");  // of a linked working tree
  const std::string shared = common.empty() ? repository : absolute(common, repository);
  std::string commit = line_of(shared + "/" + name);
  if (commit.empty()) commit = packed(shared, name);
  return is_commit(commit) ? commit : "";
}

}  // namespace zeroth
