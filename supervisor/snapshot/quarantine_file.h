#pragma once
// `<state>/<worker>/quarantine.json`: snapshots that must not be restored again. Blocks: the store calls it on the
// pool.

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "common/result.h"

namespace zeroth {

// Sequence → why. Entries are only ever added.
using Quarantine = std::map<std::uint64_t, std::string>;

class QuarantineFile {
 public:
  explicit QuarantineFile(std::string path) : path_(std::move(path)) {}

  // An absent file is an empty quarantine; one that cannot be understood is renamed to *.corrupt and reported.
  Result<Quarantine> read();
  // Durable. Of two writes that overtake each other the one with more entries stays.
  Status write(const Quarantine& quarantine);

 private:
  const std::string path_;
  std::mutex mutex_;
  std::size_t written_ = 0;
};

}  // namespace zeroth
