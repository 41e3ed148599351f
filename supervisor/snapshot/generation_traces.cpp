#include "supervisor/snapshot/generation_traces.h"

#include <fcntl.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <functional>
#include <optional>
#include <string_view>
#include <system_error>
#include <vector>

#include "common/snapshot_format.h"
#include "common/unique_fd.h"

namespace zeroth {
namespace {

constexpr std::size_t kHeadersRead = 8;  // generations grow with sequences: one whole header among the newest is enough

void for_each_file(const std::string& folder, const std::function<void(const std::string&)>& call) {
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    call(it->path().filename().string());
}

// The 7 of "alive-7", "emergency-7.json.stale" and ".emergency-7.json.4711.tmp".
std::optional<std::uint64_t> generation_in(std::string_view name) {
  if (name.starts_with('.')) name.remove_prefix(1);
  for (const std::string_view prefix : {"alive-", "emergency-"}) {
    if (!name.starts_with(prefix)) continue;
    const std::string_view rest = name.substr(prefix.size());
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    const bool whole = end == rest.data() + rest.size() || *end == '.';
    if (error == std::errc() && whole && number <= kMaxSequence) return number;
  }
  return std::nullopt;
}

std::uint64_t generation_of_snapshot(const std::string& path, std::uint64_t sequence) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd) return 0;
  const auto envelope = read_snapshot_envelope(fd.get(), sequence);
  return envelope && envelope->generation <= kMaxSequence ? envelope->generation : 0;
}

}  // namespace

std::uint64_t highest_named_generation(const std::string& folder) {
  std::uint64_t highest = 0;
  for_each_file(folder, [&](const std::string& name) { highest = std::max(highest, generation_in(name).value_or(0)); });
  return highest;
}

std::uint64_t highest_traced_generation(const std::string& worker_folder) {
  std::uint64_t highest = highest_named_generation(worker_folder);
  const std::string snapshots = worker_folder + "/snapshots";
  std::vector<std::uint64_t> sequences;
  for_each_file(snapshots, [&](const std::string& name) {
    if (const auto sequence = parse_snapshot_name(name)) sequences.push_back(*sequence);
  });
  std::sort(sequences.rbegin(), sequences.rend());
  sequences.resize(std::min(sequences.size(), kHeadersRead));
  for (const std::uint64_t sequence : sequences)
    highest = std::max(highest, generation_of_snapshot(snapshots + "/" + snapshot_name(sequence), sequence));
  return highest;
}

}  // namespace zeroth
