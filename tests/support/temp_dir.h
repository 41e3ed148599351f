#pragma once
<<<<<<< HEAD
<<<<<<< HEAD
// A folder for one test case, gone with everything in it when the case ends.

#include <filesystem>
#include <string>
#include <string_view>

namespace zeroth::test {

class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  // The path of `name` in the folder; the folder itself for "".
  std::string path(std::string_view name = "") const;
  // Writes a file and returns its path.
  std::string write(std::string_view name, std::string_view content) const;
  // The content of a file; fails the test case if it cannot be read.
  std::string read(std::string_view name) const;

 private:
  std::filesystem::path path_;
};

}  // namespace zeroth::test
=======
// A folder of its own for one test (0700), removed with everything in it.

#include <string>
=======
// A fresh folder for one test, removed with all that is in it at the end.

#include <cstdlib>
#include <filesystem>
#include <string>
>>>>>>> ctl

namespace zeroth {

class TempDir {
 public:
<<<<<<< HEAD
  explicit TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
=======
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

>>>>>>> ctl
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace zeroth
<<<<<<< HEAD
>>>>>>> snap
=======
>>>>>>> ctl
