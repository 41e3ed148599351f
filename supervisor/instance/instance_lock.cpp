#include "supervisor/instance/instance_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "common/files.h"

namespace zeroth {
namespace {

constexpr int kAttempts = 10;  // each lost to somebody who replaced the file meanwhile

Status check_lock_file(const std::string& path, const struct stat& info) {
  if (!S_ISREG(info.st_mode)) return fail(path + ": not a plain file", EPERM);
  if (info.st_uid != ::geteuid()) return fail(path + ": belongs to another user", EPERM);
  if (info.st_nlink > 1) return fail(path + ": has several names (hard links)", EPERM);
  return {};
}

}  // namespace

Result<InstanceLock> InstanceLock::take(const std::string& state) {
  const std::string path = state + "/lock";
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
    if (!fd) return fail(last_error(path));
    struct stat opened {
    }, named{};
    if (::fstat(fd.get(), &opened) != 0) return fail(last_error(path));
    if (Status fit = check_lock_file(path, opened); !fit) return fail(std::move(fit.error()));
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) return fail(last_error("lock " + path));
    // A lock on a file that is no longer the one with this name excludes nobody.
    const bool still_there = ::lstat(path.c_str(), &named) == 0;
    if (still_there && named.st_dev == opened.st_dev && named.st_ino == opened.st_ino)
      return InstanceLock(std::move(fd));
  }
  return fail(path + ": replaced again and again", EBUSY);
}

Status prepare_private_folder(const std::string& path) {
  if (Status made = make_folders(path); !made) return made;
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return fail(last_error(path));
  if (info.st_uid != ::geteuid()) return fail(path + ": belongs to another user", EPERM);
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) return fail(path + ": others may write to it; chmod go-w it", EPERM);
  return {};
}

}  // namespace zeroth
