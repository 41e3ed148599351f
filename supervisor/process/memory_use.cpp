#include "supervisor/process/memory_use.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <string>

#include "common/unique_fd.h"

namespace zeroth {
namespace {

// As proc(5) counts them, from 1.
constexpr int kGroup = 5;
constexpr int kResidentPages = 24;

std::optional<std::uint64_t> stat_number(std::string_view word) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
  return value;
}

}  // namespace

std::optional<GroupMemory> parse_group_memory(std::string_view text) {
  const std::size_t name_end = text.rfind(')');  // the name may hold anything, also spaces and parentheses
  if (name_end == std::string_view::npos || name_end + 2 > text.size()) return std::nullopt;
  text.remove_prefix(name_end + 2);
  GroupMemory found;
  for (int field = 3; field <= kResidentPages; ++field) {
    const std::size_t end = std::min(text.find_first_of(" \n"), text.size());
    const std::string_view word = text.substr(0, end);
    if (field == kGroup || field == kResidentPages) {
      const auto value = stat_number(word);
      if (!value) return std::nullopt;
      if (field == kGroup) found.group = static_cast<pid_t>(*value);
      if (field == kResidentPages) found.pages = *value;
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return found;
}

std::map<pid_t, std::uint64_t> memory_of_groups() {
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  std::map<pid_t, std::uint64_t> bytes;
  const std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), ::closedir);
  if (!proc) return bytes;
  while (const dirent* entry = ::readdir(proc.get())) {
    if (entry->d_name[0] < '1' || entry->d_name[0] > '9') continue;
    const UniqueFd fd(
        ::openat(::dirfd(proc.get()), (std::string(entry->d_name) + "/stat").c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) continue;  // it has ended meanwhile
    std::array<char, 1024> text;
    const ssize_t got = ::read(fd.get(), text.data(), text.size());
    if (got <= 0) continue;
    if (const auto found = parse_group_memory({text.data(), static_cast<std::size_t>(got)}); found && found->pages > 0)
      bytes[found->group] += found->pages * page;
  }
  return bytes;
}

}  // namespace zeroth
