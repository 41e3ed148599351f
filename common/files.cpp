#include "common/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <memory>
#include <optional>

namespace zeroth {
namespace {

constexpr std::string_view kTemporarySuffix = ".tmp";

std::string temporary_name(const std::string& name, pid_t pid) {
  return "." + name + "." + std::to_string(pid) + std::string(kTemporarySuffix);
}

std::optional<pid_t> parse_pid(std::string_view digits) {
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), pid);
  if (error != std::errc() || end != digits.data() + digits.size() || pid <= 0) return std::nullopt;
  return pid;
}

// Who made a file of that name with temporary_name(), nullopt if nobody did; `of`: only for this one, "" for any.
std::optional<pid_t> maker_of_temporary(std::string_view file, std::string_view of) {
  if (!file.starts_with('.') || !file.ends_with(kTemporarySuffix)) return std::nullopt;
  file.remove_prefix(1);
  file.remove_suffix(kTemporarySuffix.size());
  const std::size_t dot = file.rfind('.');
  if (dot == std::string_view::npos || dot == 0 || (!of.empty() && file.substr(0, dot) != of)) return std::nullopt;
  return parse_pid(file.substr(dot + 1));
}

// The same of an entry of a folder. A socket in the making is only `.<pid>`: its path has to be short.
std::optional<pid_t> maker_of_entry(const dirent& entry, std::string_view of) {
  const std::string_view file = entry.d_name;
  if (entry.d_type == DT_SOCK) return of.empty() && file.starts_with('.') ? parse_pid(file.substr(1)) : std::nullopt;
  return maker_of_temporary(file, of);
}

}  // namespace

Result<std::string> read_file(const std::string& path, std::size_t max_bytes) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return fail(last_error(path));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return fail(last_error(path));
  if (!S_ISREG(info.st_mode)) return fail(path + ": not a regular file");
  const auto too_large = [&] { return fail(path + ": larger than " + std::to_string(max_bytes) + " bytes", EFBIG); };
  if (static_cast<std::uint64_t>(info.st_size) > max_bytes) return too_large();
  std::string bytes;
  bytes.resize(static_cast<std::size_t>(info.st_size) + 1);
  std::size_t size = 0;
  for (;;) {
    if (size == bytes.size()) bytes.resize(size * 2);
    const ssize_t got = ::read(fd.get(), bytes.data() + size, bytes.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(last_error(path));
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
    if (size > max_bytes) return too_large();
  }
  bytes.resize(size);
  return bytes;
}

Status write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail(last_error("write"));
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Status write_all_at(int fd, std::string_view bytes, std::uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail(last_error("write"));
    bytes.remove_prefix(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
  }
  return {};
}

Result<std::size_t> read_at(int fd, char* to, std::size_t size, std::uint64_t offset) {
  std::size_t total = 0;
  while (total < size) {
    const ssize_t got = ::pread(fd, to + total, size - total, static_cast<off_t>(offset + total));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(last_error("read"));
    if (got == 0) break;
    total += static_cast<std::size_t>(got);
  }
  return total;
}

Status allocate_file(int fd, std::uint64_t size) {
  int result = 0;
  do {
    result = ::fallocate(fd, 0, 0, static_cast<off_t>(size));
  } while (result != 0 && errno == EINTR);
  if (result == 0 || errno == EOPNOTSUPP || errno == ENOSYS) return {};
  return fail(last_error("allocate"));
}

Status copy_bytes(int from, std::uint64_t from_offset, int to, std::uint64_t to_offset, std::uint64_t size) {
  std::string buffer(static_cast<std::size_t>(std::min<std::uint64_t>(size, 1 << 20)), '\0');
  for (std::uint64_t copied = 0; copied < size;) {
    const std::size_t piece = static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), size - copied));
    auto got = read_at(from, buffer.data(), piece, from_offset + copied);
    if (!got) return fail(std::move(got.error()));
    if (*got != piece) return fail("the file shrank while it was read", EIO);
    if (Status done = write_all_at(to, std::string_view(buffer).substr(0, piece), to_offset + copied); !done)
      return done;
    copied += piece;
  }
  return {};
}

Status rename_new(int folder, const std::string& from, const std::string& to) {
  if (::renameat2(folder, from.c_str(), folder, to.c_str(), RENAME_NOREPLACE) == 0) return {};
  if (errno != EINVAL && errno != ENOSYS) return fail(last_error("rename"));
  // A file system without the flag (NFS, some FUSE): a hard link does not replace either.
  if (::linkat(folder, from.c_str(), folder, to.c_str(), 0) != 0) return fail(last_error("link"));
  if (::unlinkat(folder, from.c_str(), 0) != 0) return fail(last_error("unlink " + from));
  return {};
}

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string name_of(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

Status sync_folder(const std::string& folder) {
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return fail(last_error(folder));
  if (::fsync(fd.get()) != 0) return fail(last_error("fsync " + folder));
  return {};
}

Status sync_file(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return fail(last_error(path));
  if (::fsync(fd.get()) != 0) return fail(last_error("fsync " + path));
  return sync_folder(folder_of(path));
}

Status put_file(const std::string& path, mode_t mode, const std::function<Status(int fd)>& write) {
  const std::string temporary = folder_of(path) + "/" + temporary_name(name_of(path), ::getpid());
  ::unlink(temporary.c_str());  // left behind by a dead process of the same number
  UniqueFd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!fd) return fail(last_error(temporary));
  Status done = write(fd.get());
  if (done && ::close(fd.release()) != 0) done = fail(last_error("close"));
  if (done && ::rename(temporary.c_str(), path.c_str()) != 0) done = fail(last_error("rename"));
  if (!done) {
    ::unlink(temporary.c_str());
    return fail(std::move(done.error()).in(path));
  }
  return {};
}

Status replace_file(const std::string& path, mode_t mode, const std::function<Status(int fd)>& write) {
  const auto write_and_sync = [&](int fd) -> Status {
    if (Status written = write(fd); !written) return written;
    if (::fsync(fd) != 0) return fail(last_error("fsync"));
    return {};
  };
  if (Status put = put_file(path, mode, write_and_sync); !put) return put;
  return sync_folder(folder_of(path));
}

Status write_file_atomically(const std::string& path, std::string_view bytes, mode_t mode) {
  return replace_file(path, mode, [&](int fd) { return write_all(fd, bytes); });
}

std::vector<std::string> remove_dead_temporaries(const std::string& folder, const std::string& name) {
  std::vector<std::string> removed;
  const std::unique_ptr<DIR, int (*)(DIR*)> opened(::opendir(folder.c_str()), ::closedir);
  if (!opened) return removed;
  while (const dirent* entry = ::readdir(opened.get())) {
    const auto maker = maker_of_entry(*entry, name);
    if (!maker) continue;
    const bool lives = *maker != ::getpid() && (::kill(*maker, 0) == 0 || errno != ESRCH);
    if (!lives && ::unlinkat(::dirfd(opened.get()), entry->d_name, 0) == 0) removed.emplace_back(entry->d_name);
  }
  return removed;
}

Status make_folders(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0) {
    if (!S_ISDIR(info.st_mode)) return fail(path + ": not a folder", ENOTDIR);
    return {};
  }
  const std::string parent = folder_of(path);
  if (parent != path) {
    if (Status made = make_folders(parent); !made) return made;
  }
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return fail(last_error("mkdir " + path));
  return sync_folder(parent);
}

}  // namespace zeroth
