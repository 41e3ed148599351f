#include "supervisor/process/memory_room.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <sstream>
#include <string_view>
#include <vector>

#include "common/files.h"

namespace zeroth {
namespace {

constexpr std::size_t kMostRead = 64 * 1024;
constexpr std::size_t kMostProcesses = 64;

struct GroupFiles {
  const char* controllers;  // as /proc/self/cgroup names them
  const char* mount;
  const char* limit;
  const char* used;
  std::array<const char*, 3> reclaimable;  // in memory.stat
};

constexpr GroupFiles kVersions[] = {
    {"", "/sys/fs/cgroup", "memory.max", "memory.current", {"inactive_file ", "active_file ", "slab_reclaimable "}},
    {"memory",
     "/sys/fs/cgroup/memory",
     "memory.limit_in_bytes",
     "memory.usage_in_bytes",
     {"total_inactive_file ", "total_active_file ", "total_slab_reclaimable "}},
};

std::optional<std::uint64_t> leading_number(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  std::uint64_t value = 0;
  return std::from_chars(text.data(), text.data() + text.size(), value).ec == std::errc() ? std::optional(value)
                                                                                          : std::nullopt;
}

// After `name` at the beginning of a line.
std::optional<std::uint64_t> number_after(std::string_view text, const std::string& name) {
  if (text.starts_with(name)) return leading_number(text.substr(name.size()));
  const std::size_t found = text.find("\n" + name);
  return found == std::string_view::npos ? std::nullopt : leading_number(text.substr(found + 1 + name.size()));
}

std::optional<std::uint64_t> number_in(const std::string& path) {
  const auto text = read_file(path, kMostRead);
  return text ? leading_number(*text) : std::nullopt;  // "max" is none
}

// "/system.slice/a.service" of "4:memory:/system.slice/a.service" or of "0::/system.slice/a.service".
std::optional<std::string> group_of(std::string_view text, std::string_view controllers) {
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    if (line.substr(first + 1, second - first - 1) == controllers) return std::string(line.substr(second + 1));
  }
  return std::nullopt;
}

std::optional<std::uint64_t> room_of_group(const std::string& folder, const GroupFiles& files) {
  const auto limit = number_in(folder + "/" + files.limit);
  const auto used = number_in(folder + "/" + files.used);
  if (!limit || !used) return std::nullopt;
  const auto stat = read_file(folder + "/memory.stat", kMostRead);
  std::uint64_t cached = 0;
  for (const char* name : files.reclaimable) cached += stat ? number_after(*stat, name).value_or(0) : 0;
  const std::uint64_t needed = *used - std::min(*used, cached);
  return *limit - std::min(*limit, needed);
}

}  // namespace

std::optional<std::uint64_t> memory_room(const std::string& root) {
  std::optional<std::uint64_t> least;
  const auto count = [&](std::optional<std::uint64_t> bytes) {
    if (bytes) least = std::min(least.value_or(*bytes), *bytes);
  };
  if (const auto text = read_file(root + "/proc/meminfo", kMostRead)) {
    const auto available = number_after(*text, "MemAvailable:");
    if (available) count(*available * 1024);
  }
  const auto groups = read_file(root + "/proc/self/cgroup", kMostRead);
  if (!groups) return least;
  for (const GroupFiles& version : kVersions) {
    auto group = group_of(*groups, version.controllers);
    while (group) {
      count(room_of_group(root + version.mount + *group, version));
      if (group->empty()) break;
      group->resize(std::min(group->rfind('/'), group->size()));
    }
  }
  return least;
}

std::uint64_t memory_of_tree(pid_t pid) {
  std::vector<std::string> processes = {std::to_string(pid)};
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < processes.size() && i < kMostProcesses; ++i) {
    const std::string folder = "/proc/" + processes[i];
    const auto status = read_file(folder + "/status", kMostRead);
    if (status) bytes += number_after(*status, "RssAnon:").value_or(0) * 1024;
    const auto children = read_file(folder + "/task/" + processes[i] + "/children", kMostRead);
    std::istringstream words(children.value_or(""));
    for (std::string child; words >> child;) processes.push_back(child);
  }
  return bytes;
}

}  // namespace zeroth
