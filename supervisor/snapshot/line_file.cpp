#include "supervisor/snapshot/line_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "common/files.h"

namespace zeroth {
namespace {

constexpr std::uint64_t kMaxFile = 10'000'000;  // bytes; two such files are kept

}  // namespace

Status LineFile::open(bool torn) {
  torn_ = torn;
  return open_file();
}

Status LineFile::open_file() {
  UniqueFd fd(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
  if (!fd) return fail(last_error(path_));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return fail(last_error(path_));
  if (!S_ISREG(info.st_mode)) return fail(path_ + ": not a regular file");
  size_ = static_cast<std::uint64_t>(info.st_size);
  const std::lock_guard lock(mutex_);
  file_ = std::make_shared<UniqueFd>(std::move(fd));
  return {};
}

Status LineFile::append(std::string line, const std::string& carried) {
  const bool lost = is_unlinked();
  if (lost) {
    if (Status made = make_folders(folder_of(path_)); !made) return made;
  }
  if (lost || (size_ + line.size() > kMaxFile && size_ > 0)) {
    if (Status rotated = rotate(carried); !rotated) return fail(std::move(rotated.error()).in("rotating " + path_));
  }
  return write_line(std::move(line));
}

Status LineFile::write_line(std::string text) {
  if (torn_) text.insert(0, 1, '\n');
  ssize_t written = 0;
  do {
    written = ::write(file_->get(), text.data(), text.size());
  } while (written < 0 && errno == EINTR);
  if (written < 0) return fail(last_error(path_));
  size_ += static_cast<std::uint64_t>(written);
  // The rest of a short write is not retried: other bytes cannot be between, but the disk is full now.
  torn_ = static_cast<std::size_t>(written) != text.size();
  if (torn_) return fail(system_error(path_, ENOSPC));
  return {};
}

Status LineFile::remake(const std::string& carried) {
  if (!is_unlinked()) return {};
  if (Status made = make_folders(folder_of(path_)); !made) return made;
  return rotate(carried);
}

// Our file has no name any more, or there is none of that name: the folder was removed or moved away under us.
bool LineFile::is_unlinked() const {
  struct stat info {};
  if (::fstat(file_->get(), &info) == 0 && info.st_nlink == 0) return true;
  return ::lstat(path_.c_str(), &info) != 0 && errno == ENOENT;
}

Status LineFile::rotate(const std::string& carried) {
  if (std::rename(path_.c_str(), (path_ + ".1").c_str()) != 0 && errno != ENOENT) return fail(last_error("rename"));
  if (Status opened = open_file(); !opened) return opened;
  torn_ = false;
  return write_line(carried);
}

Status LineFile::sync() {
  std::shared_ptr<UniqueFd> file;
  {
    const std::lock_guard lock(mutex_);
    file = file_;
  }
  if (::fdatasync(file->get()) != 0) return fail(last_error("fsync " + path_));
  return sync_folder(folder_of(path_));
}

}  // namespace zeroth
