#pragma once
// The secret of control over TCP, in a file that only its owner can read: <runtime>/token. It is made anew at each
// start, so that whoever kept the one of an earlier start holds nothing; scripts read the file each time. Owned by
// ControlPort.

#include <sys/types.h>

#include <string>
#include <utility>

#include "common/result.h"

namespace zeroth {

class TokenFile {
 public:
  // Makes a token of 32 random bytes (64 hex digits) and writes it to `path`, mode 0600. What is there is replaced;
  // but EPERM, and nothing touched, if that is no regular file, has another name (a hard link) or another owner.
  static Result<TokenFile> make(std::string path);

  const std::string& token() const { return token_; }
  // Writes the same token again if the file was taken away or replaced. False: it was still there.
  Result<bool> keep();
  // Removes the file if it is still this one.
  void remove() const;

 private:
  TokenFile(std::string path, std::string token) : path_(std::move(path)), token_(std::move(token)) {}
  Status write();

  std::string path_;
  std::string token_;
  std::pair<dev_t, ino_t> file_{};  // device and inode, to recognise it by
};

}  // namespace zeroth
