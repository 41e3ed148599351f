#include "common/clock.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <limits>

#include "common/files.h"

namespace zeroth {

int ms_until(MonotonicTime until) {
  const auto left = std::chrono::ceil<Milliseconds>(until - monotonic_now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, std::numeric_limits<int>::max()));
}

double elapsed_ms(MonotonicTime from, MonotonicTime to) {
  return static_cast<double>(std::chrono::duration_cast<Microseconds>(to - from).count()) / 1000.0;
}

std::string rfc3339(WallTime time) {
  const auto ms = std::chrono::duration_cast<Milliseconds>(time.time_since_epoch()).count();
  const std::time_t seconds = static_cast<std::time_t>(ms / 1000);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[40];
  const std::size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text + length, sizeof text - length, ".%03dZ", static_cast<int>(ms % 1000));
  return text;
}

std::optional<WallTime> parse_rfc3339(std::string_view text) {
  constexpr std::string_view kForm = "0000-00-00T00:00:00.000Z";
  if (text.size() != kForm.size()) return std::nullopt;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool fits = kForm[i] == '0' ? text[i] >= '0' && text[i] <= '9' : text[i] == kForm[i];
    if (!fits) return std::nullopt;
  }
  const auto number = [&](std::size_t at, std::size_t digits) {
    int value = 0;
    for (const char digit : text.substr(at, digits)) value = value * 10 + (digit - '0');
    return value;
  };
  std::tm parts{};
  parts.tm_year = number(0, 4) - 1900;
  parts.tm_mon = number(5, 2) - 1;
  parts.tm_mday = number(8, 2);
  parts.tm_hour = number(11, 2);
  parts.tm_min = number(14, 2);
  parts.tm_sec = number(17, 2);
  const bool in_range = number(0, 4) >= 1970 && number(0, 4) <= 2200 &&  // the clock's 64 bits of ns end in 2262
                        parts.tm_mon >= 0 && parts.tm_mon < 12 && parts.tm_mday >= 1 && parts.tm_mday <= 31 &&
                        parts.tm_hour < 24 && parts.tm_min < 60 && parts.tm_sec <= 60;
  if (!in_range) return std::nullopt;
  return std::chrono::system_clock::from_time_t(::timegm(&parts)) + Milliseconds(number(20, 3));
}

std::string boot_id() {
  auto text = read_file("/proc/sys/kernel/random/boot_id", 64);
  if (!text) return "";
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return *text;
}

std::string human_duration(std::chrono::nanoseconds duration) {
  using namespace std::chrono;
  if (duration < seconds(1)) return std::to_string(duration_cast<milliseconds>(duration).count()) + " ms";
  if (duration < minutes(2)) return std::to_string(duration_cast<seconds>(duration).count()) + " s";
  if (duration < hours(2)) return std::to_string(duration_cast<minutes>(duration).count()) + " min";
  if (duration < hours(48)) return std::to_string(duration_cast<hours>(duration).count()) + " h";
  return std::to_string(duration_cast<hours>(duration).count() / 24) + " d";
}

Result<Milliseconds> parse_duration(std::string_view text) {
  constexpr std::pair<std::string_view, double> kUnits[] = {{"", 1e3},  {"ms", 1},    {"s", 1e3},
                                                            {"m", 6e4}, {"min", 6e4}, {"h", 3.6e6}};
  constexpr double kLongest = 10.0 * 365 * 24 * 3.6e6;
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  const std::string_view rest(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (error == std::errc()) {
    for (const auto& [unit, ms] : kUnits) {
      const double length = number * ms;
      if (unit == rest && length >= 0 && length <= kLongest) return Milliseconds(std::llround(length));
    }
  }
  return fail("'" + std::string(text) + "' is not a duration; write 500ms, 2s, 5m or 1h");
}

}  // namespace zeroth
