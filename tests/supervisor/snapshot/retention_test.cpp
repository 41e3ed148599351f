#include "supervisor/snapshot/retention.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>

namespace zeroth {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using Sequences = std::vector<std::uint64_t>;

const WallTime kNoon{hours(24 * 20'000 + 12)};
constexpr RetentionRules kNewestOnly = {5, false, 0, std::uint64_t(1) << 40};

RetentionEntry taken(std::uint64_t sequence, bool valid, WallTime at = kNoon, const std::string& program = "a") {
  return {sequence, valid, at, 100, program};
}

// What is left of a snapshot every `apart` for `length`, pruned after each, as a store would.
std::vector<RetentionEntry> live_through(seconds length, seconds apart, WallTime& now,
                                         const RetentionRules& rules = {}) {
  std::vector<RetentionEntry> kept;
  std::uint64_t sequence = 0;
  for (seconds passed(0); passed <= length; passed += apart) {
    now = kNoon + passed;
    kept.insert(kept.begin(), taken(++sequence, true, now));
    const Sequences gone = expired_snapshots(kept, now, rules);
    std::erase_if(kept, [&](const auto& one) { return std::ranges::find(gone, one.sequence) != gone.end(); });
  }
  return kept;
}

}  // namespace

TEST_CASE("retention: the newest five stay") {
  std::vector<RetentionEntry> entries;
  for (std::uint64_t sequence = 8; sequence > 0; --sequence) entries.push_back(taken(sequence, true));
  CHECK(expired_snapshots(entries, kNoon, kNewestOnly) == Sequences{1, 2, 3});
  CHECK(expired_snapshots(entries, kNoon, kKeepLeast) == Sequences{1, 2, 3, 4, 5, 6});
  entries.resize(5);
  CHECK(expired_snapshots(entries, kNoon, kNewestOnly).empty());
}

TEST_CASE("retention: the two newest valid ones stay, however old") {
  std::vector<RetentionEntry> entries;
  for (std::uint64_t sequence = 9; sequence > 0; --sequence)
    entries.push_back(taken(sequence, sequence == 4 || sequence == 2 || sequence == 1));
  CHECK(expired_snapshots(entries, kNoon, kNewestOnly) == Sequences{1, 3});
}

TEST_CASE("retention: nothing goes before two are known to be valid") {
  std::vector<RetentionEntry> entries;
  for (std::uint64_t sequence = 9; sequence > 0; --sequence) entries.push_back(taken(sequence, sequence == 9));
  CHECK(expired_snapshots(entries, kNoon, kNewestOnly).empty());
  CHECK(expired_snapshots({}, kNoon).empty());
}

TEST_CASE("retention: a snapshot a second thins out to one a minute for an hour, and one an hour before that") {
  WallTime now;
  const std::vector<RetentionEntry> kept = live_through(hours(5), seconds(1), now);
  std::map<std::int64_t, int> by_minute, by_hour;
  for (std::size_t i = 5; i < kept.size(); ++i) {
    const auto age = now - kept[i].created_at;
    if (age <= hours(1)) ++by_minute[kept[i].created_at.time_since_epoch() / minutes(1)];
    if (age > hours(1)) ++by_hour[kept[i].created_at.time_since_epoch() / hours(1)];
  }
  CHECK(by_minute.size() >= 60);
  for (const auto& [minute, count] : by_minute) CHECK(count == 1);
  CHECK(by_hour.size() == 4);
  for (const auto& [hour, count] : by_hour) CHECK(count == 1);
}

TEST_CASE("retention: a day is kept for 14 days and no longer") {
  WallTime now;
  const std::vector<RetentionEntry> kept = live_through(hours(24 * 40), minutes(30), now);
  CHECK(now - kept.back().created_at <= hours(14 * 24));
  CHECK(now - kept.back().created_at > hours(13 * 24));
  CHECK(kept.size() < 5 + 61 + 25 + 15);
}

TEST_CASE("retention: the last of each of the last ten programs stays") {
  std::vector<RetentionEntry> entries;
  for (std::uint64_t sequence = 40; sequence > 0; --sequence)
    entries.push_back(taken(sequence, true, kNoon - hours(24 * 365), "program " + std::to_string((sequence - 1) / 2)));
  const Sequences gone = expired_snapshots(entries, kNoon);
  // 1 to 20 are of the ten programs before; of the others the second of each pair is the last.
  for (std::uint64_t sequence = 1; sequence <= 20; ++sequence) CHECK(std::ranges::find(gone, sequence) != gone.end());
  for (std::uint64_t sequence = 22; sequence <= 40; sequence += 2)
    CHECK(std::ranges::find(gone, sequence) == gone.end());
  CHECK(std::ranges::find(gone, std::uint64_t(21)) != gone.end());
}

TEST_CASE("retention: what a reload dropped something of stays while there is room") {
  std::vector<RetentionEntry> entries;
  for (std::uint64_t sequence = 9; sequence > 0; --sequence) entries.push_back(taken(sequence, true));
  entries[7].before_loss = true;  // 2
  CHECK(expired_snapshots(entries, kNoon, kNewestOnly) == Sequences{1, 3, 4});
  CHECK(expired_snapshots(entries, kNoon, kKeepLeast) == Sequences{1, 2, 3, 4, 5, 6, 7});
  RetentionRules rules = kNewestOnly;
  rules.max_bytes = 500;
  CHECK(expired_snapshots(entries, kNoon, rules) == Sequences{1, 2, 3, 4});
}

TEST_CASE("retention: beyond the bytes allowed the oldest go, but never the two newest valid ones") {
  std::vector<RetentionEntry> entries;
  for (std::uint64_t sequence = 5; sequence > 0; --sequence) entries.push_back(taken(sequence, sequence <= 4));
  RetentionRules rules = kNewestOnly;
  rules.max_bytes = 350;
  CHECK(expired_snapshots(entries, kNoon, rules) == Sequences{1, 2});
  rules.max_bytes = 0;
  CHECK(expired_snapshots(entries, kNoon, rules) == Sequences{1, 2, 5});
}

TEST_CASE("retention: pinned ones stay whatever the rules say, and their bytes count first") {
  std::vector<RetentionEntry> entries;
  for (std::uint64_t sequence = 9; sequence > 0; --sequence) entries.push_back(taken(sequence, true));
  entries[8].pinned = entries[6].pinned = true;  // 1 and 3
  CHECK(expired_snapshots(entries, kNoon, kNewestOnly) == Sequences{2, 4});
  CHECK(expired_snapshots(entries, kNoon, kKeepLeast) == Sequences{2, 4, 5, 6, 7});
  RetentionRules rules = kNewestOnly;
  rules.max_bytes = 500;
  CHECK(expired_snapshots(entries, kNoon, rules) == Sequences{2, 4, 5, 6});
  rules.max_bytes = 100;
  CHECK(expired_snapshots(entries, kNoon, rules) == Sequences{2, 4, 5, 6, 7});
}

TEST_CASE("retention: a clock that was set back or forward loses no newest one") {
  std::vector<RetentionEntry> entries;
  for (std::uint64_t sequence = 8; sequence > 0; --sequence)
    entries.push_back(taken(sequence, true, kNoon + hours(24 * 365) - seconds(sequence)));
  const Sequences gone = expired_snapshots(entries, kNoon);
  for (std::uint64_t sequence = 4; sequence <= 8; ++sequence) CHECK(std::ranges::find(gone, sequence) == gone.end());
}

}  // namespace zeroth
