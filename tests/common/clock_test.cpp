#include "common/clock.h"

#include <doctest/doctest.h>

namespace zeroth {

TEST_CASE("clock: RFC 3339 both ways, to the millisecond") {
  const auto time = parse_rfc3339("2026-01-31T10:02:11.123Z");
  REQUIRE(time.has_value());
  CHECK(rfc3339(*time) == "2026-01-31T10:02:11.123Z");
  for (const char* bad : {"", "2026-01-31", "2026-01-31T10:02:11Z", "2026-01-31T10:02:11.123+01:00",
                          "9999-01-31T10:02:11.123Z", "2026-13-31T10:02:11.123Z", "-026-01-31T10:02:11.123Z"})
    CHECK_FALSE(parse_rfc3339(bad).has_value());
}

TEST_CASE("clock: durations as people write them") {
  CHECK(parse_duration("500ms").value() == Milliseconds(500));
  CHECK(parse_duration("2").value() == Milliseconds(2000));
  CHECK(parse_duration("1.5m").value() == Milliseconds(90'000));
  CHECK(parse_duration("0").value() == Milliseconds(0));
  for (const char* bad : {"", "s", "-1s", "5 s", "5x", "nan", "1e9h", "99999999h"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_duration(bad).has_value());
  }
  CHECK(human_duration(Milliseconds(340)) == "340 ms");
  CHECK(human_duration(std::chrono::minutes(90)) == "90 min");
}

}  // namespace zeroth
