#include "supervisor/snapshot/retention.h"

#include <algorithm>

namespace zeroth {

std::vector<std::uint64_t> expired_snapshots(std::span<const RetentionEntry> newest_first, std::size_t keep) {
  std::vector<std::uint64_t> expired;
  std::size_t seen = 0, valid = 0;
  for (const RetentionEntry& entry : newest_first) {
    const bool kept = ++seen <= keep || (entry.valid && valid < kKeepValid);
    valid += entry.valid;
    if (!kept) expired.push_back(entry.sequence);
  }
  if (valid < kKeepValid) return {};
  std::reverse(expired.begin(), expired.end());
  return expired;
}

}  // namespace zeroth
