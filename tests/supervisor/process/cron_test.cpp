#include "supervisor/process/cron.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <ctime>

namespace zeroth {
namespace {

// The zone of a test, by its rules: no file of zones is needed.
class Zone {
 public:
  explicit Zone(const char* rules) {
    if (const char* before = std::getenv("TZ")) before_ = before;
    ::setenv("TZ", rules, 1);
    ::tzset();
  }
  ~Zone() {
    if (before_) {
      ::setenv("TZ", before_->c_str(), 1);
    } else {
      ::unsetenv("TZ");
    }
    ::tzset();
  }

 private:
  std::optional<std::string> before_;
};

constexpr const char* kCentralEurope = "CET-1CEST,M3.5.0,M10.5.0/3";

CronTable table_of(const std::string& text) {
  auto table = CronTable::parse(text);
  REQUIRE_MESSAGE(table.has_value(), (table ? "" : table.error().message));
  return *table;
}

// Times in UTC without seconds: "2026-03-29 01:00".
WallTime utc(const std::string& text) {
  return *parse_rfc3339(text.substr(0, 10) + "T" + text.substr(11, 5) + ":00.000Z");
}
std::string text_of(WallTime time) {
  const std::string text = rfc3339(time);
  CHECK(text.substr(16) == ":00.000Z");
  return text.substr(0, 10) + " " + text.substr(11, 5);
}
std::string next_of(const std::string& table, const std::string& after) {
  const auto next = table_of(table).next(utc(after));
  return next ? text_of(*next) : "never";
}

}  // namespace

TEST_CASE("cron: the next minute that each kind of field means") {
  const Zone zone("UTC0");
  CHECK(next_of("* * * * *", "2026-01-31 10:02") == "2026-01-31 10:03");
  CHECK(next_of("30 4 * * *", "2026-01-31 10:02") == "2026-02-01 04:30");
  CHECK(next_of("*/15 * * * *", "2026-01-31 10:45") == "2026-01-31 11:00");
  CHECK(next_of("5/20 * * * *", "2026-01-31 10:25") == "2026-01-31 10:45");
  CHECK(next_of("0-10/5,50 * * * *", "2026-01-31 10:10") == "2026-01-31 10:50");
  CHECK(next_of("0 0 1 1 *", "2026-01-31 10:02") == "2027-01-01 00:00");
  CHECK(next_of("0 0 29 2 *", "2026-01-31 10:02") == "2028-02-29 00:00");
  CHECK(next_of("0 12 * jun,Dec *", "2026-01-31 10:02") == "2026-06-01 12:00");
  CHECK(next_of("0 0 * * mon-fri", "2026-01-31 10:02") == "2026-02-02 00:00");
  CHECK(next_of("0 0 * * 0", "2026-01-31 10:02") == "2026-02-01 00:00");
  CHECK(next_of("0 0 * * 7", "2026-01-31 10:02") == "2026-02-01 00:00");
  CHECK(next_of("\t0  0 * *   5-7 ", "2026-01-31 10:02") == "2026-02-01 00:00");
  CHECK(next_of("59 23 31 12 *", "2026-12-31 23:59") == "2027-12-31 23:59");
}

TEST_CASE("cron: seconds count: the minute that has begun is over") {
  const Zone zone("UTC0");
  const WallTime within = utc("2026-01-31 10:02") + std::chrono::milliseconds(1);
  CHECK(text_of(*table_of("* * * * *").next(within)) == "2026-01-31 10:03");
  CHECK(text_of(*table_of("3 * * * *").next(utc("2026-01-31 10:02") + std::chrono::seconds(59))) == "2026-01-31 10:03");
}

TEST_CASE("cron: where both kinds of day are given, either is enough; a star restricts nothing") {
  const Zone zone("UTC0");
  CHECK(next_of("0 0 13 * fri", "2026-02-01 00:00") == "2026-02-06 00:00");
  CHECK(next_of("0 0 13 * fri", "2026-02-06 00:00") == "2026-02-13 00:00");
  CHECK(next_of("0 0 10 * fri", "2026-02-06 00:00") == "2026-02-10 00:00");
  CHECK(next_of("0 0 */2 * mon", "2026-02-01 00:00") == "2026-02-09 00:00");
}

TEST_CASE("cron: a time that the clocks leap over is made up for at once, and comes once") {
  const Zone zone(kCentralEurope);  // 2026-03-29 02:00 becomes 03:00, which is 01:00 UTC
  CHECK(next_of("30 2 * * *", "2026-03-28 00:00") == "2026-03-28 01:30");
  CHECK(next_of("30 2 * * *", "2026-03-28 12:00") == "2026-03-29 01:00");
  CHECK(next_of("30 2 * * *", "2026-03-29 01:00") == "2026-03-30 00:30");
  CHECK(next_of("0 2,3 * * *", "2026-03-29 00:00") == "2026-03-29 01:00");
  CHECK(next_of("0 2,3 * * *", "2026-03-29 01:00") == "2026-03-30 00:00");
  CHECK(next_of("30 2 30 * *", "2026-03-28 12:00") == "2026-03-30 00:30");
  CHECK(next_of("30 1 * * *", "2026-03-28 12:00") == "2026-03-29 00:30");
  CHECK(next_of("30 3 * * *", "2026-03-28 12:00") == "2026-03-29 01:30");
  CHECK(next_of("30 * * * *", "2026-03-29 00:30") == "2026-03-29 01:30");
}

TEST_CASE("cron: a time that comes twice counts once, but every hour is every hour") {
  const Zone zone(kCentralEurope);  // 2026-10-25 03:00 becomes 02:00, which is 01:00 UTC
  CHECK(next_of("30 2 * * *", "2026-10-24 12:00") == "2026-10-25 00:30");
  CHECK(next_of("30 2 * * *", "2026-10-25 00:30") == "2026-10-26 01:30");
  CHECK(next_of("*/20 2 * * *", "2026-10-25 00:40") == "2026-10-26 01:00");
  CHECK(next_of("30 * * * *", "2026-10-25 00:30") == "2026-10-25 01:30");
  CHECK(next_of("0 3 * * *", "2026-10-24 12:00") == "2026-10-25 02:00");
}

TEST_CASE("cron: what is wrong is told with its field") {
  const auto why = [](const std::string& text) {
    const auto table = CronTable::parse(text);
    return table ? "" : table.error().message;
  };
  const auto says_of = [&](const std::string& text, const std::string& part) {
    CAPTURE(text);
    CAPTURE(why(text));
    CHECK(why(text).find(part) != std::string::npos);
  };
  says_of("", "has 0 fields");
  says_of("@daily", "has 1 field;");
  says_of("* * * *", "has 4 fields");
  says_of("* * * * * *", "has 6 fields");
  says_of("60 * * * *", "minute '60': expected 0 to 59");
  says_of("* 24 * * *", "hour '24': expected 0 to 23");
  says_of("* * 0 * *", "day of the month '0': expected 1 to 31");
  says_of("* * * 13 *", "month '13': expected 1 to 12");
  says_of("* * * * 8", "day of the week '8': expected 0 to 7");
  says_of("* * * jun *x", "day of the week '*x'");
  says_of("1-x * * * *", "minute 'x'");
  says_of("30-10 * * * *", "minute '30-10': a range goes upwards");
  says_of("*/0 * * * *", "a step is a number above 0");
  says_of("*/ * * * *", "a step is a number above 0");
  says_of("*/-5 * * * *", "a step is a number above 0");
  says_of("1, * * * *", "minute ''");
  says_of("-1 * * * *", "minute ''");
  says_of("+1 * * * *", "minute '+1'");
  says_of("99999999999 * * * *", "minute '99999999999'");
  says_of("0 0 31 2 *", "never comes");
  says_of("0 0 30 feb *", "never comes");
  CHECK(why("0 0 31 2 mon") == "");  // each Monday of February
}

}  // namespace zeroth
