#include "tests/support/temp_dir.h"

#include <cstdlib>
#include <filesystem>

namespace zeroth {

TempDir::TempDir() : path_((std::filesystem::temp_directory_path() / "zeroth-test-XXXXXX").string()) {
  if (::mkdtemp(path_.data()) == nullptr) std::abort();  // no test can run without one
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace zeroth
