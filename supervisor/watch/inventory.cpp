#include "supervisor/watch/inventory.h"

#include <chrono>

#include "supervisor/watch/path_chain.h"

namespace zeroth {
namespace {

// File times advance with the kernel's tick: at most 10 ms (HZ=100); the rest is for a busy machine.
constexpr std::int64_t kFreshNs = 50'000'000;

std::int64_t nanoseconds(const timespec& time) {
  return std::int64_t(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

// All names below the folder `path` lie between these two.
std::string below_begin(const std::string& path) {
  return path + "/";
}
std::string below_end(const std::string& path) {
  return path + char('/' + 1);
}

}  // namespace

FileStamp stamp_from(const struct stat& info) {
  return {std::uint64_t(info.st_dev), std::uint64_t(info.st_ino), std::uint64_t(info.st_size),
          nanoseconds(info.st_mtim), nanoseconds(info.st_ctim)};
}

bool FileStamp::fresh_at(std::int64_t wall_ns) const {
  return wall_ns - mtime_ns < kFreshNs || wall_ns - ctime_ns < kFreshNs;
}

std::optional<FileStamp> stamp_of(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && !S_ISDIR(info.st_mode)) {
    if (!S_ISREG(info.st_mode)) return std::nullopt;
    return stamp_from(info);
  }
  if (::lstat(path.c_str(), &info) != 0 || !S_ISLNK(info.st_mode)) return std::nullopt;
  return stamp_from(info);
}

std::int64_t wall_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Inventory Inventory::take(const WatchScope& scope) {
  Inventory inventory;
  const auto look_at = [&](std::string name) {
    const std::int64_t now = wall_ns();
    if (const auto stamp = stamp_of(name))
      inventory.files_.insert_or_assign(std::move(name), Seen{*stamp, stamp->fresh_at(now)});
  };
  for (const std::string& target : scope.targets()) {
    const PathChain chain = follow_path(target);
    if (chain.is_folder) {
      walk_files(
          scope, chain.real, [&](const std::string& relative) { look_at(join_path(target, relative)); },
          [](const Error&) {});
    } else {
      look_at(target);
    }
  }
  return inventory;
}

std::vector<std::string> Inventory::difference(const Inventory& before, const Inventory& after, bool distrust_fresh) {
  std::vector<std::string> names;
  auto old = before.files_.begin();
  auto now = after.files_.begin();
  while (old != before.files_.end() || now != after.files_.end()) {
    if (now == after.files_.end() || (old != before.files_.end() && old->first < now->first)) {
      names.push_back((old++)->first);
    } else if (old == before.files_.end() || now->first < old->first) {
      names.push_back((now++)->first);
    } else {
      if ((distrust_fresh && old->second.fresh) || old->second.stamp != now->second.stamp) names.push_back(now->first);
      ++old, ++now;
    }
  }
  return names;
}

bool Inventory::knows(const std::string& path) const {
  if (files_.contains(path)) return true;
  const auto below = files_.lower_bound(below_begin(path));
  return below != files_.end() && below->first.starts_with(below_begin(path));
}

bool Inventory::refresh(const std::string& path) {
  const auto stamp = stamp_of(path);
  if (!stamp) {
    erase(path);
    return false;
  }
  files_.insert_or_assign(path, Seen{*stamp, false});
  return true;
}

void Inventory::copy_from(const Inventory& other, const std::string& path) {
  erase(path);
  if (const auto found = other.files_.find(path); found != other.files_.end()) files_.insert(*found);
  files_.insert(other.files_.lower_bound(below_begin(path)), other.files_.lower_bound(below_end(path)));
}

void Inventory::erase(const std::string& path) {
  files_.erase(path);
  files_.erase(files_.lower_bound(below_begin(path)), files_.lower_bound(below_end(path)));
}

}  // namespace zeroth
