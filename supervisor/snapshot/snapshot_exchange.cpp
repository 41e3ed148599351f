#include "supervisor/snapshot/snapshot_exchange.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>

#include "common/files.h"
#include "common/json_check.h"

namespace zeroth {
namespace {

// Left free for the checkpoints that go on meanwhile.
constexpr std::uint64_t kSpareBytes = 16 << 20;

Status write_copy(int from, int to, std::uint64_t size) {
  if (Status done = allocate_file(to, size); !done) return done;
  if (Status done = copy_bytes(from, 0, to, 0, size); !done) return done;
  if (::fsync(to) != 0) return fail(last_error("fsync"));
  return {};
}

bool same_file_as_before(int fd, const struct stat& before) {
  struct stat now {};
  return ::fstat(fd, &now) == 0 && now.st_size == before.st_size && now.st_mtim.tv_sec == before.st_mtim.tv_sec &&
         now.st_mtim.tv_nsec == before.st_mtim.tv_nsec && now.st_ctim.tv_sec == before.st_ctim.tv_sec &&
         now.st_ctim.tv_nsec == before.st_ctim.tv_nsec;
}

Status check_room(const SnapshotFolder& folder, std::uint64_t bytes) {
  struct statvfs disk {};
  if (::statvfs(folder.path().c_str(), &disk) != 0) return fail(last_error(folder.path()));
  const std::uint64_t room = static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
  if (room >= bytes && room - bytes >= kSpareBytes) return {};
  return fail("it has " + std::to_string(bytes) + " bytes, and " + std::to_string(room) + " are free", ENOSPC);
}

}  // namespace

Status check_exchange_path(const std::string& path) {
  if (!path.starts_with('/')) return fail("path: expected an absolute path");
  if (path.find('\0') != std::string::npos) return fail("path: has a NUL in it");
  const std::string name = name_of(path);
  if (name.empty() || name == "." || name == "..") return fail("path: expected the name of a file");
  return {};
}

Result<std::uint64_t> export_snapshot(SnapshotFolder& folder, std::uint64_t sequence, const std::string& path) {
  const auto from = folder.open_file(snapshot_name(sequence), O_RDONLY);
  if (!from && from.error().code == ENOENT) return fail("there is no snapshot " + std::to_string(sequence), ENOENT);
  if (!from) return fail(from.error());
  const auto envelope = verify_snapshot(from->get(), sequence);
  if (!envelope) return fail(Error(envelope.error().error).in(snapshot_name(sequence)));
  const std::uint64_t size = envelope->state_offset + envelope->length + render_snapshot_trailer(sequence).size();
  struct stat there {};
  if (::lstat(path.c_str(), &there) == 0) return fail(path + ": exists already and is not overwritten", EEXIST);
  const std::string temporary = folder_of(path) + "/." + name_of(path) + "." + std::to_string(::getpid()) + ".tmp";
  const UniqueFd to(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!to) {
    const int code = errno == ENOENT ? ENOTDIR : errno;  // ENOENT is kept for the snapshot
    return fail(folder_of(path) + ": " + system_error("cannot write there", errno).message, code);
  }
  Status done = write_copy(from->get(), to.get(), size);
  if (done) done = rename_new(AT_FDCWD, temporary, path);
  if (!done) {
    ::unlink(temporary.c_str());
    return fail(std::move(done.error()).in(path));
  }
  if (Status synced = sync_folder(folder_of(path)); !synced) return fail(std::move(synced.error()).in(path));
  return size;
}

Result<std::shared_ptr<ForeignSnapshot>> open_foreign(const SnapshotFolder& folder, const std::string& path) {
  auto found = std::make_shared<ForeignSnapshot>();
  // Not to wait at a FIFO, and not to be led elsewhere.
  found->fd.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  if (!found->fd && errno == ELOOP) return fail(path + ": is a symbolic link; name the file itself", ELOOP);
  if (!found->fd) return fail(last_error(path));
  const int fd = found->fd.get();
  if (::fstat(fd, &found->seen) != 0) return fail(last_error(path));
  if (!S_ISREG(found->seen.st_mode)) return fail(path + ": not a regular file");
  if (found->seen.st_uid != ::geteuid() && found->seen.st_uid != 0)
    return fail(path + ": belongs to user " + std::to_string(found->seen.st_uid) + ", whom we do not trust; chown it",
                EPERM);
  auto envelope = verify_snapshot(fd, std::nullopt);
  if (!envelope) return fail(Error(envelope.error().error).in(path));
  if (Status room = check_room(folder, static_cast<std::uint64_t>(found->seen.st_size)); !room)
    return fail(std::move(room.error()).in(path));
  if (Status json = check_json(fd, envelope->state_offset, envelope->length); !json)
    return fail(std::move(json.error()).in("its state").in(path));
  found->envelope = std::move(*envelope);
  return found;
}

Status copy_state(const ForeignSnapshot& from, const StateFile& to) {
  const UniqueFd target(::open(to.path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!target) return fail(last_error(to.path));
  const std::uint64_t length = from.envelope.length;
  if (Status done = allocate_file(target.get(), to.offset + length); !done) return done;
  if (Status done = copy_bytes(from.fd.get(), from.envelope.state_offset, target.get(), to.offset, length); !done)
    return done;
  if (!same_file_as_before(from.fd.get(), from.seen)) return fail("the file was changed while it was read");
  return {};
}

}  // namespace zeroth
