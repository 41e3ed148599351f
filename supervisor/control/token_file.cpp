#include "supervisor/control/token_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "common/files.h"
#include "common/secret.h"
#include "common/users.h"

namespace zeroth {
namespace {

constexpr std::size_t kTokenBytes = 32;

Status check_replaceable(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return errno == ENOENT ? Status() : Status(fail(last_error(path)));
  if (!S_ISREG(info.st_mode)) return fail(path + ": not a regular file", EPERM);
  if (info.st_uid != ::geteuid()) return fail(path + ": belongs to " + describe_user(info.st_uid), EPERM);
  if (info.st_nlink != 1) return fail(path + ": has another name (a hard link)", EPERM);
  return {};
}

}  // namespace

Result<TokenFile> TokenFile::make(std::string path) {
  TokenFile made(std::move(path), random_secret(kTokenBytes));
  if (made.token_.empty()) return fail("token: the kernel gives no random bytes");
  if (Status written = made.write(); !written) return fail(std::move(written.error()).in("token"));
  return made;
}

Status TokenFile::write() {
  if (Status replaceable = check_replaceable(path_); !replaceable) return replaceable;
  return put_file(path_, 0600, [this](int fd) -> Status {
    if (Status written = write_all(fd, token_); !written) return written;
    struct stat info {};
    if (::fstat(fd, &info) != 0) return fail(last_error("fstat"));
    file_ = {info.st_dev, info.st_ino};
    return {};
  });
}

Result<bool> TokenFile::keep() {
  struct stat info {};
  const bool there = ::lstat(path_.c_str(), &info) == 0 && std::pair(info.st_dev, info.st_ino) == file_;
  if (there) return false;
  if (Status written = write(); !written) return fail(std::move(written.error()).in("token"));
  return true;
}

void TokenFile::remove() const {
  struct stat info {};
  if (::lstat(path_.c_str(), &info) == 0 && std::pair(info.st_dev, info.st_ino) == file_) ::unlink(path_.c_str());
}

}  // namespace zeroth
