#pragma once
// Identity of what is watched: decides whether an event was a change. Runs on the thread pool, called by whoever owns
// the FileWatcher, before the first start and after each report.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "supervisor/watch/inventory.h"
#include "supervisor/watch/tree.h"

namespace zeroth {

struct ContentHash {
  std::string hex;                   // "" if the only target is a file that cannot be read
  std::uint64_t files = 0;           // that have a content
  std::uint64_t bytes = 0;           // of all of them
  std::vector<std::string> changed;  // with a cache: paths that differ from the run before, the first 20, in order
  std::vector<std::string> notes;    // what could not be read and why, the first 20
};

// What files hashed to when they were last read, so that an unchanged one is not read again. One call at a time.
class HashCache {
 public:
  struct Entry {
    FileStamp stamp;
    std::string hex;
  };

 private:
  friend class TargetHasher;
  std::unordered_map<std::string, Entry> entries_;
  std::optional<std::map<std::string, std::string>> contents_;  // of every path in the last run; none before the first
};

// One file: xxh3_hex() of its bytes. Else XXH3-128 over the targets in their order, in each the sorted relative paths,
// each with its content's hash (or the link's text where it leads to no file). Never blocks on a FIFO, holds
// no more than a buffer of any file. With a cache, files whose stamp is unchanged are not read; one written in the last
// moments before it was read is always read again.
ContentHash hash_targets(const WatchScope& scope, HashCache* cache = nullptr);

}  // namespace zeroth
