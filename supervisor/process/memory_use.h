#pragma once
// How much memory the process groups of workers take. Walks /proc, which may take milliseconds: for the pool, not for
// the loop.

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>

namespace zeroth {

struct GroupMemory {
  pid_t group = 0;
  std::uint64_t pages = 0;  // resident
};
// Of the text of one /proc/PID/stat; nullopt if it is none.
std::optional<GroupMemory> parse_group_memory(std::string_view text);

// Resident bytes of all processes that live, by process group; what several of a group share counts for each.
std::map<pid_t, std::uint64_t> memory_of_groups();

}  // namespace zeroth
