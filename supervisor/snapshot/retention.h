#pragma once
// Which snapshots may go: the newest stay, then ever fewer the older they are, then the last of each program and what
// a reload dropped something of. Pure: the store asks after each commit and removes what is named.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/clock.h"

namespace zeroth {

inline constexpr std::size_t kKeepValid = 2;  // below that nothing is ever removed, whatever the disk says

struct RetentionEntry {
  std::uint64_t sequence = 0;
  bool valid = false;  // committed or verified by this process; a file that was merely found is not
  WallTime created_at{};
  std::uint64_t bytes = 0;   // of the state
  std::string program_hash;  // "" if the file could not be read
  bool pinned = false;       // stays whatever the rules say
  bool before_loss = false;  // a reload that began from it dropped something
  std::string schema = "";   // of the state; "" if it has none or could not be read
};

struct RetentionRules {
  std::size_t newest = 5;              // enough to step back over a few bad checkpoints of 1 s each
  bool ladder = true;                  // one a minute for an hour, one an hour for a day, one a day for 14 days
  std::size_t programs = 10;           // the last snapshot of so many programs
  std::uint64_t max_bytes = 1u << 30;  // of all states together, pinned ones first; of the others the oldest go first
  bool losses = true;                  // those before a loss
};
// Only what may never go: to make room on a full disk.
inline constexpr RetentionRules kKeepLeast = {0, false, 0, 0, false};

// Sequences to remove, oldest first. Pinned ones and the two newest valid ones always stay; nothing goes while fewer
// than two are known to be valid. Order is by sequence, `now` only says which rung a snapshot is on: one from the
// future counts as new.
std::vector<std::uint64_t> expired_snapshots(std::span<const RetentionEntry> newest_first, WallTime now,
                                             const RetentionRules& rules = {});

}  // namespace zeroth
