#pragma once
// A folder of its own for one test (0700), removed with everything in it.

#include <string>

namespace zeroth {

class TempDir {
 public:
  explicit TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace zeroth
