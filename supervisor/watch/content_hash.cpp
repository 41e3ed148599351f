#include "supervisor/watch/content_hash.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "common/hash.h"
#include "common/unique_fd.h"
#include "supervisor/watch/path_chain.h"

namespace zeroth {
namespace {

constexpr std::size_t kBufferBytes = 256 * 1024;
constexpr std::size_t kMostNotes = 20;
constexpr std::size_t kMostChanged = 20;

}  // namespace

// One run of hash_targets().
class TargetHasher {
 public:
  TargetHasher(const WatchScope& scope, HashCache* cache) : scope_(scope), cache_(cache), buffer_(kBufferBytes, '\0') {}

  ContentHash run() {
    const std::vector<std::string>& targets = scope_.targets();
    if (targets.size() == 1 && !follow_path(targets[0]).is_folder) {
      if (auto read = read_hash(targets[0])) result_.hex = std::move(*read);
      contents_[targets[0]] = result_.hex;
    } else {
      for (const std::string& target : targets) add_target(target);
      result_.hex = total_.hex();
    }
    if (cache_ == nullptr) return std::move(result_);
    if (cache_->contents_) note_changes(*cache_->contents_);
    cache_->contents_ = std::move(contents_);
    cache_->entries_ = std::move(seen_);
    return std::move(result_);
  }

 private:
  void add_target(const std::string& target) {
    const PathChain chain = follow_path(target);
    if (!chain.is_folder) return add_file("", target);
    total_.update(std::string_view("folder\0", 7));
    std::vector<std::string> names;
    walk_files(
        scope_, chain.real, [&](std::string relative) { names.push_back(std::move(relative)); },
        [&](const Error& error) { note(error); });
    std::ranges::sort(names);
    for (const std::string& name : names) add_file(name, join_path(target, name));
  }

  void add_file(const std::string& name, const std::string& path) {
    total_.update(name);
    total_.update(std::string_view("\0", 1));
    const std::string content = content_of(path);
    total_.update(content);
    total_.update("\n");
    if (cache_ != nullptr) contents_.emplace(path, content);
  }

  // Both are in the order of their paths.
  void note_changes(const std::map<std::string, std::string>& before) {
    auto old = before.begin();
    auto now = contents_.begin();
    while ((old != before.end() || now != contents_.end()) && result_.changed.size() < kMostChanged) {
      const bool gone = now == contents_.end() || (old != before.end() && old->first < now->first);
      const bool same_path = !gone && old != before.end() && old->first == now->first;
      if (!same_path || old->second != now->second) result_.changed.push_back(gone ? old->first : now->first);
      if (!gone) ++now;
      if (gone || same_path) ++old;
    }
  }

  // The file's hash, the link's text, or "" for what cannot be read.
  std::string content_of(const std::string& path) {
    struct stat info {};
    if (::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode))
      return cached_hash(path, stamp_from(info)).value_or("");
    char text[PATH_MAX];
    const ssize_t size = ::readlink(path.c_str(), text, sizeof text);
    if (size >= 0) return "-> " + std::string(text, static_cast<std::size_t>(size));
    note(last_error(path));
    return "";
  }

  std::optional<std::string> cached_hash(const std::string& path, const FileStamp& stamp) {
    if (cache_ == nullptr) return read_hash(path);
    const auto known = cache_->entries_.find(path);
    if (known != cache_->entries_.end() && stamp == known->second.stamp) {
      ++result_.files;
      result_.bytes += stamp.size;
      return seen_.insert(cache_->entries_.extract(known)).position->second.hex;
    }
    const bool fresh = stamp.fresh_at(wall_ns());
    auto hex = read_hash(path);
    if (hex && !fresh && stamp_of(path) == stamp) seen_.emplace(path, HashCache::Entry{stamp, *hex});
    return hex;
  }

  std::optional<std::string> read_hash(const std::string& path) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    struct stat info {};
    if (!fd || ::fstat(fd.get(), &info) != 0) return note(last_error(path));
    if (!S_ISREG(info.st_mode)) return note({0, path + ": not a regular file"});
    Xxh3 hash;
    std::uint64_t bytes = 0;
    for (;;) {
      const ssize_t got = ::read(fd.get(), buffer_.data(), buffer_.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return note(last_error(path));
      if (got == 0) break;
      hash.update({buffer_.data(), static_cast<std::size_t>(got)});
      bytes += static_cast<std::uint64_t>(got);
    }
    ++result_.files;
    result_.bytes += bytes;
    return hash.hex();
  }

  std::nullopt_t note(const Error& error) {
    if (result_.notes.size() < kMostNotes) result_.notes.push_back(error.message);
    return std::nullopt;
  }

  const WatchScope& scope_;
  HashCache* cache_;
  std::string buffer_;
  Xxh3 total_;
  ContentHash result_;
  std::map<std::string, std::string> contents_;
  std::unordered_map<std::string, HashCache::Entry> seen_;
};

ContentHash hash_targets(const WatchScope& scope, HashCache* cache) {
  return TargetHasher(scope, cache).run();
}

}  // namespace zeroth
