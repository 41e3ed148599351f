#pragma once
// The resource limits of a worker by name, as fleet.toml's `limits` and --limit have them.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "common/result.h"

namespace zeroth {

struct LimitName {
  std::string_view name;
  int resource;  // RLIMIT_…
};
std::span<const LimitName> limit_names();
// "memory, data, …"
std::string all_limit_names();

// A number, a size like "512MB", or "unlimited".
Result<std::uint64_t> parse_limit_value(const std::string& text);
// "nofile=1024": the resource and its value. Messages name what is known, or nearest.
Result<std::pair<int, std::uint64_t>> parse_limit(const std::string& text);

}  // namespace zeroth
