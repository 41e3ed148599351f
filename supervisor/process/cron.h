#pragma once
// A timetable of five fields, as cron has them: minute, hour, day of the month, month, day of the week, in local time.
// Pure, but for the time zone, which the C library knows.

#include <bitset>
#include <optional>
#include <string>
#include <string_view>

#include "common/clock.h"
#include "common/result.h"

namespace zeroth {

class CronTable {
 public:
  // "30 4 * * 1-5". A field is *, a number, a range a-b, either with a step /n, or a list of those; months and days of
  // the week also by the first three letters of their English names, and both 0 and 7 are Sunday. Where both kinds of
  // day are restricted, either is enough. What never comes (31 February) is an error.
  static Result<CronTable> parse(std::string_view text);

  // The first minute after `after`. Where the hour is restricted, a time that the clocks leap over in spring is made up
  // for right after the leap, and one that comes twice in autumn counts once.
  std::optional<WallTime> next(WallTime after) const;

 private:
  struct Local;
  bool matches(const Local& time) const;
  bool matches_day(const Local& time) const;
  bool leapt_over(const Local& before, const Local& after) const;

  std::bitset<60> minutes_;
  std::bitset<24> hours_;
  std::bitset<32> days_;     // from 1
  std::bitset<13> months_;   // from 1
  std::bitset<7> weekdays_;  // from Sunday
  bool any_hour_ = false, any_day_ = false, any_weekday_ = false;
};

}  // namespace zeroth
