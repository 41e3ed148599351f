#pragma once
// Which snapshots may go. Pure: the store asks after each commit and removes what is named.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace zeroth {

inline constexpr std::size_t kKeepNewest = 5;  // enough to step back over a few bad checkpoints of 1 s each
inline constexpr std::size_t kKeepValid = 2;   // below that nothing is ever removed, whatever the disk says

struct RetentionEntry {
  std::uint64_t sequence = 0;
  bool valid = false;  // committed or verified by this process; a file that was merely found is not
};

// Sequences to remove, oldest first: all but the newest `keep` and the two newest valid ones. Nothing while fewer than
// two are known to be valid.
std::vector<std::uint64_t> expired_snapshots(std::span<const RetentionEntry> newest_first,
                                             std::size_t keep = kKeepNewest);

}  // namespace zeroth
