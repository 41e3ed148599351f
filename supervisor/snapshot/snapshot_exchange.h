#pragma once
// Snapshots as files outside the state folder: writing one there, and reading one that was brought here. Everything
// blocks: the store calls it on the pool.

#include <sys/stat.h>

#include <cstdint>
#include <memory>
#include <string>

#include "common/result.h"
#include "common/snapshot_format.h"
#include "common/unique_fd.h"
#include "common/worker_protocol.h"
#include "supervisor/snapshot/snapshot_folder.h"

namespace zeroth {

// An absolute path that names a file. The error says what is wrong with it.
Status check_exchange_path(const std::string& path);

// Verifies the snapshot and copies its file to `path`: complete, durable and 0600 under that name, or nothing there.
// ENOENT with "there is no snapshot …"; EEXIST: something has that name, which is left alone. Returns the file's size.
Result<std::uint64_t> export_snapshot(SnapshotFolder& folder, std::uint64_t sequence, const std::string& path);

// A snapshot file that was checked as a whole.
struct ForeignSnapshot {
  UniqueFd fd;
  struct stat seen {};  // as it was before it was checked
  SnapshotEnvelope envelope;
};
// Checks path (no symbolic link), owner (ours or root's), frame, checksum, that the state is JSON, and that a copy fits
// beside what is in `folder` (ENOSPC).
Result<std::shared_ptr<ForeignSnapshot>> open_foreign(const SnapshotFolder& folder, const std::string& path);

// Copies the state of `from` to where a draft wants it; fails also if the file was changed since it was checked.
Status copy_state(const ForeignSnapshot& from, const StateFile& to);

}  // namespace zeroth
