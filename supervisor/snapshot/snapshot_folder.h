#pragma once
// The folder `<state>/<worker>/snapshots`, opened once: names are resolved against its descriptor, never followed as
// symbolic links. Everything blocks: the store calls it on the pool, from several threads at once.

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "common/unique_fd.h"

namespace zeroth {

// The text of a list that lies beside the folder: a regular file that is ours, not through a link, of at most 16 MiB.
// ENOENT if there is none.
Result<std::string> read_own_file(const std::string& path);

class SnapshotFolder {
 public:
  // What was found when it was opened.
  struct Listing {
    std::vector<std::uint64_t> sequences;  // of complete names, unverified, in no order
    std::vector<std::string> set_aside;    // *.corrupt
    std::uint64_t highest = 0;             // number in any name, also of leftovers and of what was set aside
  };

  // Makes the folder if need be (0700, durable in its parent) and checks that it is ours alone.
  static Result<std::shared_ptr<SnapshotFolder>> open(const std::string& path);

  // `sweep`: temporary files and restore links are removed. They belong to dead processes: the caller holds the
  // instance lock and has made none yet.
  Result<Listing> list(bool sweep);

  // ESTALE if the path leads elsewhere by now (the folder was removed or replaced).
  Status check_place() const;

  // openat with O_NOFOLLOW, O_CLOEXEC; without a free descriptor the spare one is given up for it.
  Result<UniqueFd> open_file(const std::string& name, int flags, mode_t mode = 0);

  // Takes the spare descriptor back if there is room again; called where a file of this folder was closed.
  void keep_spare();

  // Without replacing (EEXIST).
  Status rename(const std::string& from, const std::string& to) const;
  Status link(const std::string& from, const std::string& to) const;
  Status remove(const std::string& name) const;
  // Makes all names durable.
  Status sync() const;

  const std::string& path() const { return path_; }
  std::string path_of(const std::string& name) const { return path_ + "/" + name; }

 private:
  SnapshotFolder(std::string path, UniqueFd fd);
  std::string path_;
  UniqueFd fd_;
  std::mutex spare_mutex_;
  UniqueFd spare_;
};

}  // namespace zeroth
