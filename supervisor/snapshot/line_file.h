#pragma once
// The file under GenerationLog: whole lines are appended, it is rotated when it is full and made again when it was
// removed. Blocks as its disk does. One thread at a time may append; sync() may run beside that.

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "common/result.h"
#include "common/unique_fd.h"

namespace zeroth {

class LineFile {
 public:
  explicit LineFile(std::string path) : path_(std::move(path)) {}

  // `torn`: its last line lacks the end.
  Status open(bool torn);
  // `line` with its end, in one write(2). `carried`: the lines that a new file begins with. An error leaves the file as
  // it was, or with a torn last line.
  Status append(std::string line, const std::string& carried);
  // Made again, with `carried`, if it was removed.
  Status remake(const std::string& carried);
  // What was appended before it began is durable.
  Status sync();

 private:
  Status open_file();
  Status write_line(std::string text);
  Status rotate(const std::string& carried);
  bool is_unlinked() const;

  const std::string path_;
  std::mutex mutex_;  // over file_ alone
  std::shared_ptr<UniqueFd> file_;
  std::uint64_t size_ = 0;
  bool torn_ = false;
};

}  // namespace zeroth
