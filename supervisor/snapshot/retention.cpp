#include "supervisor/snapshot/retention.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <set>

namespace zeroth {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

struct Rung {
  seconds every;
  seconds reach;  // back from now
};
constexpr Rung kLadder[] = {{minutes(1), hours(1)}, {hours(1), hours(24)}, {hours(24), hours(14 * 24)}};

using Marks = std::vector<bool>;

void mark_newest(Marks& kept, std::size_t count) {
  std::fill_n(kept.begin(), std::min(count, kept.size()), true);
}

// The oldest of each interval: which one that is does not change while newer ones come.
void mark_rung(Marks& kept, std::span<const RetentionEntry> newest_first, WallTime now, const Rung& rung) {
  std::optional<std::int64_t> last;
  for (std::size_t i = newest_first.size(); i-- > 0;) {
    const RetentionEntry& entry = newest_first[i];
    if (entry.program_hash.empty() || now - entry.created_at > rung.reach) continue;
    const std::int64_t interval = std::chrono::floor<seconds>(entry.created_at.time_since_epoch()) / rung.every;
    if (last != interval) kept[i] = true;
    last = interval;
  }
}

void mark_programs(Marks& kept, std::span<const RetentionEntry> newest_first, std::size_t count) {
  std::set<std::string> seen;
  for (std::size_t i = 0; i < newest_first.size() && seen.size() < count; ++i) {
    const std::string& hash = newest_first[i].program_hash;
    if (!hash.empty() && seen.insert(hash).second) kept[i] = true;
  }
}

void mark_losses(Marks& kept, std::span<const RetentionEntry> newest_first) {
  for (std::size_t i = 0; i < newest_first.size(); ++i) {
    if (newest_first[i].before_loss) kept[i] = true;
  }
}

void keep_within(Marks& kept, std::span<const RetentionEntry> newest_first, std::uint64_t max_bytes) {
  std::uint64_t total = 0;
  for (const RetentionEntry& entry : newest_first) {
    if (entry.pinned) total += entry.bytes;
  }
  for (std::size_t i = 0; i < newest_first.size(); ++i) {
    if (!kept[i] || newest_first[i].pinned) continue;
    total += newest_first[i].bytes;
    if (total > max_bytes) kept[i] = false;
  }
}

// False if fewer than two are known to be valid.
bool mark_valid(Marks& kept, std::span<const RetentionEntry> newest_first) {
  std::size_t valid = 0;
  for (std::size_t i = 0; i < newest_first.size() && valid < kKeepValid; ++i) {
    if (!newest_first[i].valid) continue;
    kept[i] = true;
    ++valid;
  }
  return valid == kKeepValid;
}

}  // namespace

std::vector<std::uint64_t> expired_snapshots(std::span<const RetentionEntry> newest_first, WallTime now,
                                             const RetentionRules& rules) {
  Marks kept(newest_first.size());
  mark_newest(kept, rules.newest);
  if (rules.ladder) {
    for (const Rung& rung : kLadder) mark_rung(kept, newest_first, now, rung);
  }
  mark_programs(kept, newest_first, rules.programs);
  if (rules.losses) mark_losses(kept, newest_first);
  keep_within(kept, newest_first, rules.max_bytes);
  if (!mark_valid(kept, newest_first)) return {};
  std::vector<std::uint64_t> expired;
  for (std::size_t i = newest_first.size(); i-- > 0;) {
    if (!kept[i] && !newest_first[i].pinned) expired.push_back(newest_first[i].sequence);
  }
  return expired;
}

}  // namespace zeroth
