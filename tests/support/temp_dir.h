#pragma once
// A fresh folder for one test, removed with all that is in it at the end.

#include <cstdlib>
#include <filesystem>
#include <string>

namespace zeroth {

class TempDir {
 public:
  TempDir() {
    char pattern[] = "/tmp/zeroth-test-XXXXXX";
    path_ = ::mkdtemp(pattern);
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace zeroth
