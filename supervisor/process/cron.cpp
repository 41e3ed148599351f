#include "supervisor/process/cron.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <ctime>
#include <span>
#include <vector>

#include "common/text.h"

namespace zeroth {
namespace {

constexpr std::time_t kMinute = 60;
constexpr std::time_t kLongestSearch = std::time_t(9) * 366 * 24 * 3'600;  // over a leap day that a century leaves out
constexpr int kMinutesOfDay = 24 * 60;

struct Field {
  std::string_view name;
  int least, most;
  std::span<const std::string_view> names;  // of the values from `least` on
};
constexpr std::string_view kMonths[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                        "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::string_view kWeekdays[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
constexpr std::array<Field, 5> kFields = {{{"minute", 0, 59, {}},
                                           {"hour", 0, 23, {}},
                                           {"day of the month", 1, 31, {}},
                                           {"month", 1, 12, kMonths},
                                           {"day of the week", 0, 7, kWeekdays}}};

std::vector<std::string_view> split_at(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t end = text.find_first_of(separators);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::optional<int> whole_number(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.starts_with('-')) return std::nullopt;
  return value;
}

tl::unexpected<Error> wrong_field(const Field& field, std::string_view text, const std::string& why) {
  return fail(std::string(field.name) + " '" + escape_control(text) + "': " + why, EINVAL);
}

Result<int> parse_value(const Field& field, std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  for (std::size_t i = 0; i < field.names.size(); ++i) {
    if (field.names[i] == lower) return field.least + static_cast<int>(i);
  }
  const auto value = whole_number(text);
  if (!value || *value < field.least || *value > field.most)
    return wrong_field(field, text, "expected " + std::to_string(field.least) + " to " + std::to_string(field.most));
  return *value;
}

// One of a list: *, a, a-b, with /n or without. The values it stands for.
Result<std::vector<int>> parse_part(const Field& field, std::string_view part) {
  const std::size_t slash = part.find('/');
  const std::string_view range = part.substr(0, slash);
  int step = 1, from = field.least, to = field.most;
  if (slash != std::string_view::npos) {
    const auto given = whole_number(part.substr(slash + 1));
    if (!given || *given < 1) return wrong_field(field, part, "a step is a number above 0");
    step = *given;
  }
  if (range != "*") {
    const std::size_t dash = range.find('-');
    auto first = parse_value(field, range.substr(0, dash));
    if (!first) return fail(std::move(first.error()));
    from = *first;
    if (dash == std::string_view::npos && slash == std::string_view::npos) to = from;
    if (dash != std::string_view::npos) {
      auto last = parse_value(field, range.substr(dash + 1));
      if (!last) return fail(std::move(last.error()));
      to = *last;
    }
    if (from > to) return wrong_field(field, part, "a range goes upwards");
  }
  std::vector<int> values;
  for (int value = from; value <= to; value += step) values.push_back(value);
  return values;
}

template <std::size_t N>
Status parse_field(const Field& field, std::string_view text, std::bitset<N>& values) {
  for (const std::string_view part : split_at(text, ",")) {
    auto some = parse_part(field, part);
    if (!some) return fail(std::move(some.error()));
    for (const int value : *some) values.set(static_cast<std::size_t>(value));
  }
  return {};
}

}  // namespace

// A minute as the clock on the wall shows it.
struct CronTable::Local {
  int minute, hour, day, month, weekday;

  static Local of(std::time_t time) {
    std::tm parts{};
    ::localtime_r(&time, &parts);
    return {parts.tm_min, parts.tm_hour, parts.tm_mday, parts.tm_mon + 1, parts.tm_wday};
  }
  int of_day() const { return hour * 60 + minute; }
  bool operator==(const Local&) const = default;
};

Result<CronTable> CronTable::parse(std::string_view text) {
  std::vector<std::string_view> fields = split_at(text, " \t");
  std::erase(fields, std::string_view());
  if (fields.size() != kFields.size())
    return fail("'" + escape_control(text) + "' has " + std::to_string(fields.size()) +
                    (fields.size() == 1 ? " field" : " fields") +
                    "; expected five: minute, hour, day of the month, month, day of the week",
                EINVAL);
  CronTable table;
  std::bitset<8> weekdays;
  for (Status parsed :
       {parse_field(kFields[0], fields[0], table.minutes_), parse_field(kFields[1], fields[1], table.hours_),
        parse_field(kFields[2], fields[2], table.days_), parse_field(kFields[3], fields[3], table.months_),
        parse_field(kFields[4], fields[4], weekdays)}) {
    if (!parsed) return fail(std::move(parsed.error()));
  }
  for (std::size_t day = 0; day < weekdays.size(); ++day) {
    if (weekdays[day]) table.weekdays_.set(day % 7);
  }
  table.any_hour_ = table.hours_.all();
  table.any_day_ = fields[2].starts_with('*');  // as cron has it: also with a step
  table.any_weekday_ = fields[4].starts_with('*');
  if (!table.next(WallTime{})) return fail("'" + escape_control(text) + "' never comes", EINVAL);
  return table;
}

bool CronTable::matches_day(const Local& time) const {
  if (!months_[static_cast<std::size_t>(time.month)]) return false;
  const bool day = days_[static_cast<std::size_t>(time.day)];
  const bool weekday = weekdays_[static_cast<std::size_t>(time.weekday)];
  return any_day_ || any_weekday_ ? day && weekday : day || weekday;
}

bool CronTable::matches(const Local& time) const {
  return minutes_[static_cast<std::size_t>(time.minute)] && hours_[static_cast<std::size_t>(time.hour)] &&
         matches_day(time);
}

// Between two minutes that follow each other the clock was put forward: over a time that was meant?
bool CronTable::leapt_over(const Local& before, const Local& after) const {
  if (before.day != after.day) return false;
  Local skipped = after;
  for (int minute = before.of_day() + 1; minute < after.of_day(); ++minute) {
    skipped.hour = minute / 60;
    skipped.minute = minute % 60;
    if (matches(skipped)) return true;
  }
  return false;
}

std::optional<WallTime> CronTable::next(WallTime after) const {
  const std::time_t begin = std::chrono::system_clock::to_time_t(std::chrono::floor<std::chrono::seconds>(after));
  std::time_t time = begin - ((begin % kMinute) + kMinute) % kMinute;
  Local before = Local::of(time);
  while (time - begin < kLongestSearch) {
    // An hour at a time where no minute of it is meant: clocks are changed at full hours.
    const bool hour_meant = hours_[static_cast<std::size_t>(before.hour)] && matches_day(before);
    time += hour_meant ? kMinute : (60 - before.minute) * kMinute;
    const Local now = Local::of(time);
    const int gone = (now.of_day() - before.of_day() + kMinutesOfDay) % kMinutesOfDay;
    const int lasted = hour_meant ? 1 : 60 - before.minute;
    if (!any_hour_ && gone > lasted && gone < kMinutesOfDay / 2) {
      Local last = before;
      last.hour = (before.of_day() + lasted - 1) / 60;
      last.minute = (before.of_day() + lasted - 1) % 60;
      if (leapt_over(last, now)) return std::chrono::system_clock::from_time_t(time);
    }
    const bool again = !any_hour_ && Local::of(time - 3'600) == now;
    if (matches(now) && !again) return std::chrono::system_clock::from_time_t(time);
    before = now;
  }
  return std::nullopt;
}

}  // namespace zeroth
