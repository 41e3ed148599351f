#include "supervisor/worker/checkpoint_pace.h"

#include <doctest/doctest.h>

#include <limits>

namespace zeroth {

using namespace std::chrono_literals;

TEST_CASE("pace: periodic snapshots stay under the mean rate, and apart by the interval and 20 times the pause") {
  const CheckpointPace pace = {1s, 5'000'000};
  CHECK(gap_after({}, pace) == 1s);
  CHECK(gap_after({0, 100'000'000, 0}, pace) == 20s);
  CHECK(gap_after({0, 5'000'000, 0}, pace) == 1s);
  CHECK(gap_after({0, 7'500'000, 0}, pace) == 1'500ms);
  CHECK(gap_after({200, 1'000, 0}, pace) == 4s);
  CHECK(gap_after({200, 100'000'000, 0}, pace) == 20s);
  CHECK(gap_after({2'000, 100'000'000, 0}, pace) == 40s);
}

TEST_CASE("pace: without a rate only interval and pause count") {
  CHECK(gap_after({0, 100'000'000, 0}, {1s, 0}) == 1s);
  CHECK(gap_after({100, 100'000'000, 0}, {1s, 0}) == 2s);
}

TEST_CASE("pace: failures space the tries out, up to 30 s") {
  const CheckpointPace pace = {100ms, 5'000'000};
  CHECK(gap_after({0, 0, 1}, pace) == 1s);
  CHECK(gap_after({0, 0, 3}, pace) == 4s);
  CHECK(gap_after({0, 0, 60}, pace) == 30s);
  CHECK(gap_after({0, 300'000'000, 1}, pace) == 60s);
}

TEST_CASE("pace: no number is too large") {
  const auto most = std::numeric_limits<std::uint64_t>::max();
  CHECK(gap_after({60'000, most, 5}, {1s, 1}) > 1h);
  CHECK(gap_after({0, 1, 0}, {1s, most}) == 1s);
}

}  // namespace zeroth
