#include "supervisor/resource_limits.h"

#include <sys/resource.h>

#include <cerrno>
#include <vector>

#include "common/text.h"
#include "supervisor/options.h"

namespace zeroth {
namespace {

constexpr LimitName kLimitNames[] = {
    {"memory", RLIMIT_AS}, {"data", RLIMIT_DATA},       {"stack", RLIMIT_STACK},   {"core", RLIMIT_CORE},
    {"cpu", RLIMIT_CPU},   {"nofile", RLIMIT_NOFILE},   {"nproc", RLIMIT_NPROC},   {"fsize", RLIMIT_FSIZE},
    {"nice", RLIMIT_NICE}, {"memlock", RLIMIT_MEMLOCK}, {"rtprio", RLIMIT_RTPRIO},
};

}  // namespace

std::span<const LimitName> limit_names() {
  return kLimitNames;
}

std::string all_limit_names() {
  std::string all;
  for (const LimitName& limit : kLimitNames) all += (all.empty() ? "" : ", ") + std::string(limit.name);
  return all;
}

Result<std::uint64_t> parse_limit_value(const std::string& text) {
  if (text == "unlimited") return ~std::uint64_t(0);
  auto size = parse_size(text);
  if (!size) return fail("a limit is a number, a size like \"512MB\", or \"unlimited\"", EINVAL);
  return *size;
}

Result<std::pair<int, std::uint64_t>> parse_limit(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos) return fail("'" + escape_control(text) + "' is not NAME=VALUE", EINVAL);
  const std::string name = text.substr(0, equals);
  std::vector<std::string_view> names;
  for (const LimitName& limit : kLimitNames) {
    names.push_back(limit.name);
    if (limit.name != name) continue;
    auto value = parse_limit_value(text.substr(equals + 1));
    if (!value) return fail(name + ": " + value.error().message, EINVAL);
    return std::pair(limit.resource, *value);
  }
  const std::string_view meant = nearest(name, names);
  return fail("there is no limit '" + escape_control(name) + "'; " +
                  (meant.empty() ? "there are " + all_limit_names() : "did you mean '" + std::string(meant) + "'?"),
              EINVAL);
}

}  // namespace zeroth
