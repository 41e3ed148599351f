#include "supervisor/snapshot/retention.h"

#include <doctest/doctest.h>

namespace zeroth {

using Sequences = std::vector<std::uint64_t>;

TEST_CASE("retention: the newest five stay") {
  std::vector<RetentionEntry> entries;
  for (std::uint64_t sequence = 8; sequence > 0; --sequence) entries.push_back({sequence, true});
  CHECK(expired_snapshots(entries) == Sequences{1, 2, 3});
  CHECK(expired_snapshots(entries, 0) == Sequences{1, 2, 3, 4, 5, 6});
  entries.resize(5);
  CHECK(expired_snapshots(entries).empty());
}

TEST_CASE("retention: the two newest valid ones stay, however old") {
  const std::vector<RetentionEntry> entries = {{9, false}, {8, false}, {7, false}, {6, false}, {5, false},
                                               {4, true},  {3, false}, {2, true},  {1, true}};
  CHECK(expired_snapshots(entries) == Sequences{1, 3});
}

TEST_CASE("retention: nothing goes before two are known to be valid") {
  std::vector<RetentionEntry> entries;
  for (std::uint64_t sequence = 9; sequence > 0; --sequence) entries.push_back({sequence, sequence == 9});
  CHECK(expired_snapshots(entries).empty());
  CHECK(expired_snapshots({}).empty());
}

}  // namespace zeroth
