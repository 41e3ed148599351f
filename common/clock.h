#pragma once
// Time. Intervals are measured on the monotonic clock; the wall clock appears only in records.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/result.h"

namespace zeroth {

using Milliseconds = std::chrono::milliseconds;
using Microseconds = std::chrono::microseconds;
using MonotonicTime = std::chrono::steady_clock::time_point;
using WallTime = std::chrono::system_clock::time_point;

inline MonotonicTime monotonic_now() {
  return std::chrono::steady_clock::now();
}
inline WallTime wall_now() {
  return std::chrono::system_clock::now();
}

// Milliseconds with microsecond resolution, as receipts show them.
double elapsed_ms(MonotonicTime from, MonotonicTime to);

// What is left until then, at least 0: a timeout for poll(2).
int ms_until(MonotonicTime until);

// "2026-01-31T10:02:11.123Z" (RFC 3339, UTC).
std::string rfc3339(WallTime time);
std::optional<WallTime> parse_rfc3339(std::string_view text);

// Of the kernel that runs: /proc/sys/kernel/random/boot_id, "" if it cannot be read.
std::string boot_id();

// For people: "340 ms", "12 s", "5 min", "2 h", "3 d".
std::string human_duration(std::chrono::nanoseconds duration);

// What people type: "500ms", "2s", "1.5m", "1h", or a plain number of seconds; not negative, at most 10 years.
Result<Milliseconds> parse_duration(std::string_view text);

}  // namespace zeroth
