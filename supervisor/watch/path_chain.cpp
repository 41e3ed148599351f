#include "supervisor/watch/path_chain.h"

#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <deque>
#include <filesystem>

#include "common/files.h"

namespace zeroth {
namespace {

constexpr int kMostLinks = 40;  // as the kernel allows on one path

// Puts the components of `path` in front of what is left to walk.
void push_front(std::deque<std::string>& todo, const std::string& path) {
  std::size_t end = path.size();
  while (end != 0) {
    const std::size_t slash = path.rfind('/', end - 1);
    const std::size_t begin = slash == std::string::npos ? 0 : slash + 1;
    if (begin < end) todo.push_front(path.substr(begin, end - begin));
    end = slash == std::string::npos ? 0 : slash;
  }
}

std::string absolute(const std::string& path) {
  if (path.starts_with('/')) return path;
  std::error_code gone;
  return std::filesystem::current_path(gone).string() + "/" + path;
}

std::string link_text(const std::string& path) {
  char text[PATH_MAX];
  const ssize_t size = ::readlink(path.c_str(), text, sizeof text);
  return size < 0 ? "" : std::string(text, static_cast<std::size_t>(size));
}

// The folder's own place comes with it: it may be renamed away and another put there.
void add_links(PathChain& chain, const std::string& folder, const std::string& name, bool final) {
  chain.links.push_back({folder.empty() ? "/" : folder, name, final});
  if (!folder.empty()) chain.links.push_back({folder_of(folder), name_of(folder), false});
}

}  // namespace

PathChain follow_path(const std::string& path) {
  PathChain chain;
  std::deque<std::string> todo;
  push_front(todo, absolute(path));
  std::string folder;  // "" is the root
  int links = 0;
  bool ends_in_folder = true;
  std::string name;
  while (!todo.empty()) {
    name = std::move(todo.front());
    todo.pop_front();
    if (name == ".") continue;
    if (name == "..") {
      folder.resize(folder.rfind('/') == std::string::npos ? 0 : folder.rfind('/'));
      continue;
    }
    std::string here = folder;
    here.append("/").append(name);
    struct stat info {};
    const bool found = ::lstat(here.c_str(), &info) == 0;
    if (found && S_ISDIR(info.st_mode)) {
      folder = here;
      continue;
    }
    if (found && S_ISLNK(info.st_mode) && ++links <= kMostLinks) {
      add_links(chain, folder, name, todo.empty());
      const std::string text = link_text(here);
      if (text.starts_with('/')) folder.clear();
      push_front(todo, text);
      continue;
    }
    // A file, or nothing; neither leads further.
    add_links(chain, folder, name, todo.empty());
    if (found && !S_ISLNK(info.st_mode) && todo.empty()) chain.real = here;
    ends_in_folder = false;
    break;
  }
  if (ends_in_folder) {
    chain.real = folder.empty() ? "/" : folder;
    chain.is_folder = true;
    if (!folder.empty()) add_links(chain, folder_of(folder) == "/" ? "" : folder_of(folder), name_of(folder), true);
  }
  return chain;
}

}  // namespace zeroth
