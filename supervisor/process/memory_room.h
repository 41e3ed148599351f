#pragma once
// Whether there is memory for one more process as large as one that runs. Reads a few small files of the kernel's,
// which takes well below a millisecond.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace zeroth {

// Bytes that processes of ours may still take: MemAvailable of /proc/meminfo or, if that is less, what is left of the
// limit of our memory control group (version 1 or 2) or one above it, where cached files count as left. nullopt: the
// kernel does not say. `root` is put before each path, for tests.
std::optional<std::uint64_t> memory_room(const std::string& root = "");

// Resident bytes of this process and its descendants that another such process would not share (RssAnon; mapped files
// are left out); 0 if it is gone. At most 64 processes are counted.
std::uint64_t memory_of_tree(pid_t pid);

}  // namespace zeroth
