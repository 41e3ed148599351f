#include "supervisor/process/emergency_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <string_view>
#include <system_error>

namespace zeroth {
namespace {

constexpr std::size_t kMostNames = 1'000;  // looked at for growth: the folder may be another user's, who fills it
constexpr std::string_view kPrefix = "emergency-", kSuffix = ".json", kStale = ".stale", kTemporary = ".tmp";

std::optional<std::uint64_t> generation_of(std::string_view name) {
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  name.remove_suffix(kSuffix.size());
  std::uint64_t generation = 0;
  const auto parsed = std::from_chars(name.data(), name.data() + name.size(), generation);
  if (parsed.ec != std::errc() || parsed.ptr != name.data() + name.size()) return std::nullopt;
  return generation;
}

std::string file_name(std::uint64_t generation) {
  return std::string(kPrefix) + std::to_string(generation) + std::string(kSuffix);
}

// Of a worker that was killed while it wrote: its temporary file's name contains that of the file it was to become.
bool is_half_written(std::string_view name) {
  return name.find(kPrefix) != std::string_view::npos && name.ends_with(kTemporary);
}

// A folder that is not there has none.
Status for_each_name(const std::string& folder, const std::function<void(const std::string&)>& call) {
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    call(it->path().filename().string());
  if (error && error.value() != ENOENT) return fail(system_error("reading the folder " + folder, error.value()));
  return {};
}

}  // namespace

std::string emergency_file_of(const std::string& folder, std::uint64_t generation) {
  return folder + "/" + file_name(generation);
}

Result<std::vector<EmergencyFile>> find_emergency_files(const std::string& folder) {
  std::vector<EmergencyFile> files;
  Status listed = for_each_name(folder, [&](const std::string& name) {
    if (const auto generation = generation_of(name)) files.push_back({*generation, folder + "/" + name});
  });
  if (!listed) return fail(std::move(listed.error()));
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.generation > b.generation; });
  return files;
}

std::uint64_t emergency_bytes_under_way(const std::string& folder, std::uint64_t generation) {
  const std::string final_name = file_name(generation);
  std::uint64_t bytes = 0;
  std::size_t names = 0;
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (++names > kMostNames) break;
    const std::string name = it->path().filename().string();
    if (name == final_name || name.ends_with(kStale) || name.find(final_name) == std::string::npos) continue;
    struct stat info {};
    if (::lstat(it->path().c_str(), &info) == 0 && S_ISREG(info.st_mode))
      bytes += static_cast<std::uint64_t>(info.st_size);
  }
  return bytes;
}

Result<EmergencyChoice> choose_emergency_file(const std::vector<std::string>& folders, std::uint64_t newest_snapshot,
                                              const std::function<Result<bool>(const EmergencyFile&)>& parses) {
  EmergencyChoice choice;
  std::vector<EmergencyFile> files;
  for (const std::string& folder : folders) {
    (void)for_each_name(folder, [&](const std::string& name) {
      if (is_half_written(name)) std::remove((folder + "/" + name).c_str());
    });
    auto found = find_emergency_files(folder);
    if (!found) return fail(std::move(found.error()));
    for (EmergencyFile& file : *found) files.push_back(std::move(file));
  }
  std::stable_sort(files.begin(), files.end(),
                   [](const auto& a, const auto& b) { return a.generation > b.generation; });
  for (EmergencyFile& file : files) {
    const bool wanted = !choice.adopted && file.generation >= newest_snapshot;
    const Result<bool> whole = wanted ? parses(file) : Result<bool>(false);
    if (!whole) return fail(whole.error());
    if (*whole) {
      choice.adopted = std::move(file);
      continue;
    }
    const std::string stale = file.path + std::string(kStale);
    // One that cannot be renamed is passed over the next time as well.
    if (std::rename(file.path.c_str(), stale.c_str()) == 0) choice.stale.push_back(stale);
  }
  return choice;
}

}  // namespace zeroth
