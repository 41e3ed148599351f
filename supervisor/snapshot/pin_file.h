#pragma once
// `<state>/<worker>/pins.json`: snapshots that somebody wants to keep. Blocks: the store calls it on the pool.

#include <cstdint>
#include <mutex>
#include <set>
#include <string>

#include "common/result.h"

namespace zeroth {

using Pins = std::set<std::uint64_t>;  // sequences

class PinFile {
 public:
  explicit PinFile(std::string path) : path_(std::move(path)) {}

  // An absent file pins nothing. One that cannot be understood, or is no regular file of ours, is renamed to *.corrupt
  // and reported: what it named is unknown then.
  Result<Pins> read();
  // Durable, 0600. `version` grows with each change: of two writes that overtake each other the newer one stays.
  Status write(const Pins& pins, std::uint64_t version);

 private:
  const std::string path_;
  std::mutex mutex_;
  std::uint64_t written_ = 0;
};

}  // namespace zeroth
