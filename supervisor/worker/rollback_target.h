#pragma once
// Which snapshot and which code a rollback means, from what is kept. Pure.

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/clock.h"
#include "common/message.h"
#include "common/snapshot_format.h"

namespace zeroth {

struct RollbackWish {
  std::optional<std::uint64_t> generation, sequence;  // one of them
  bool code_only = false, state_only = false;         // at most one of them
};

struct RollbackTarget {
  std::uint64_t generation = 0;
  std::uint64_t sequence = 0;  // 0: no state returns
  std::string program_hash;    // of the code of that generation
};

// `newest_first`: all kept snapshots; `programs`: hash of each generation that was live. Refused with not_found, naming
// what exists nearby.
tl::expected<RollbackTarget, Refusal> choose_rollback(const RollbackWish& wish,
                                                      std::span<const SnapshotEnvelope> newest_first,
                                                      const std::map<std::uint64_t, std::string>& programs);

// The iteration that a state document says, if it is one that counts them; the first 4 KiB of it are enough.
std::optional<std::uint64_t> iteration_in(std::string_view schema, std::string_view state);

}  // namespace zeroth
