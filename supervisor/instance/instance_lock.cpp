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

std::string lock_path(const std::string& state) {
  return state + "/lock";
}

bool is_named(int fd, const std::string& path) {
  struct stat opened {
  }, named{};
  return ::fstat(fd, &opened) == 0 && ::lstat(path.c_str(), &named) == 0 && named.st_dev == opened.st_dev &&
         named.st_ino == opened.st_ino;
}

Status check_lock_file(const std::string& path, const struct stat& info) {
  if (!S_ISREG(info.st_mode)) return fail(path + ": not a plain file", EPERM);
  if (info.st_uid != ::geteuid()) return fail(path + ": belongs to another user", EPERM);
  if (info.st_nlink > 1) return fail(path + ": has several names (hard links)", EPERM);
  return {};
}

}  // namespace

Result<InstanceLock> InstanceLock::take(const std::string& state) {
  const std::string path = lock_path(state);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
    if (!fd) return fail(last_error(path));
    struct stat opened {};
    if (::fstat(fd.get(), &opened) != 0) return fail(last_error(path));
    if (Status fit = check_lock_file(path, opened); !fit) return fail(std::move(fit.error()));
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) return fail(last_error("lock " + path));
    if (is_named(fd.get(), path)) return InstanceLock(std::move(fd));
  }
  return fail(path + ": replaced again and again", EBUSY);
}

bool InstanceLock::holds(const std::string& state) const {
  return is_named(fd_.get(), lock_path(state));
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
