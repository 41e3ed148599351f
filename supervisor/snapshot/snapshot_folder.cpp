#include "supervisor/snapshot/snapshot_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "common/files.h"
#include "common/snapshot_format.h"

namespace zeroth {
namespace {

constexpr std::string_view kCorrupt = ".corrupt";
constexpr std::int64_t kMaxListBytes = 16 << 20;  // far above anything that operates; a bound, not a limit to meet

// The number in `.snapshot-12.4711.tmp` or `.restore-12.1`: a file that only ever existed for a moment.
std::optional<std::uint64_t> parse_leftover(std::string_view name) {
  for (const std::string_view prefix : {".snapshot-", ".restore-"}) {
    if (!name.starts_with(prefix)) continue;
    name.remove_prefix(prefix.size());
    std::uint64_t sequence = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), sequence);
    if (error == std::errc() && sequence <= kMaxSequence && end != name.data() + name.size() && *end == '.')
      return sequence;
  }
  return std::nullopt;
}

}  // namespace

SnapshotFolder::SnapshotFolder(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {
  keep_spare();
}

Result<std::shared_ptr<SnapshotFolder>> SnapshotFolder::open(const std::string& path) {
  if (Status made = make_folders(path); !made) return fail(std::move(made.error()));
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return fail(last_error(path));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return fail(last_error(path));
  if (info.st_uid != ::geteuid())
    return fail(path + ": belongs to user " + std::to_string(info.st_uid) + ", not to us", EPERM);
  if ((info.st_mode & 077) != 0) return fail(path + ": others may enter it; chmod 700 it", EPERM);
  return std::shared_ptr<SnapshotFolder>(new SnapshotFolder(path, std::move(fd)));
}

Result<SnapshotFolder::Listing> SnapshotFolder::list(bool sweep) {
  auto fd = open_file(".", O_RDONLY | O_DIRECTORY);
  if (!fd) return fail(std::move(fd.error()).in(path_));
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::fdopendir(fd->get()), ::closedir);
  if (!folder) return fail(last_error(path_));
  fd->release();
  Listing found;
  while (const dirent* entry = ::readdir(folder.get())) {
    std::string_view name = entry->d_name;
    if (const auto leftover = parse_leftover(name)) {
      found.highest = std::max(found.highest, *leftover);
      if (sweep) (void)remove(entry->d_name);
    }
    const bool aside = name.ends_with(kCorrupt);
    if (aside) name.remove_suffix(kCorrupt.size());
    const auto sequence = parse_snapshot_name(name);
    if (!sequence) continue;
    found.highest = std::max(found.highest, *sequence);
    if (aside) {
      found.set_aside.push_back(entry->d_name);
    } else {
      found.sequences.push_back(*sequence);
    }
  }
  return found;
}

Result<std::string> read_own_file(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd) return fail(last_error("open"));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return fail(last_error("stat"));
  if (!S_ISREG(info.st_mode)) return fail("not a regular file");
  if (info.st_uid != ::geteuid() && info.st_uid != 0) return fail("belongs to user " + std::to_string(info.st_uid));
  if (info.st_size > kMaxListBytes) return fail("larger than " + std::to_string(kMaxListBytes) + " bytes");
  std::string text(static_cast<std::size_t>(info.st_size), '\0');
  auto got = read_at(fd.get(), text.data(), text.size(), 0);
  if (!got) return fail(std::move(got.error()));
  text.resize(*got);
  return text;
}

Status SnapshotFolder::check_place() const {
  struct stat ours {
  }, there{};
  if (::fstat(fd_.get(), &ours) != 0 || ::stat(path_.c_str(), &there) != 0) return fail(last_error(path_));
  if (ours.st_dev == there.st_dev && ours.st_ino == there.st_ino) return {};
  return fail(path_ + ": replaced by another folder", ESTALE);
}

Result<UniqueFd> SnapshotFolder::open_file(const std::string& name, int flags, mode_t mode) {
  flags |= O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;  // a FIFO of that name must not stop us
  UniqueFd fd(::openat(fd_.get(), name.c_str(), flags, mode));
  if (!fd && (errno == EMFILE || errno == ENFILE)) {
    const std::lock_guard lock(spare_mutex_);
    spare_.reset();
    fd.reset(::openat(fd_.get(), name.c_str(), flags, mode));
  }
  if (!fd) return fail(last_error("open " + name));
  keep_spare();
  return fd;
}

void SnapshotFolder::keep_spare() {
  const std::lock_guard lock(spare_mutex_);
  if (!spare_) spare_.reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

Status SnapshotFolder::rename(const std::string& from, const std::string& to) const {
  return rename_new(fd_.get(), from, to);
}

Status SnapshotFolder::link(const std::string& from, const std::string& to) const {
  if (::linkat(fd_.get(), from.c_str(), fd_.get(), to.c_str(), 0) != 0) return fail(last_error("link"));
  return {};
}

Status SnapshotFolder::remove(const std::string& name) const {
  if (::unlinkat(fd_.get(), name.c_str(), 0) != 0) return fail(last_error("unlink " + name));
  return {};
}

Status SnapshotFolder::sync() const {
  if (::fsync(fd_.get()) != 0) return fail(last_error("fsync " + path_));
  return {};
}

}  // namespace zeroth
