#pragma once
// A folder for one test case, gone with everything in it when the case ends.

#include <filesystem>
#include <string>
#include <string_view>

namespace zeroth {

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

namespace test {
using zeroth::TempDir;
}

}  // namespace zeroth
