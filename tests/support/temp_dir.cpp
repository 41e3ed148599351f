#include "tests/support/temp_dir.h"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <fstream>
#include <iterator>

namespace zeroth {

TempDir::TempDir() {
  std::string pattern = (std::filesystem::temp_directory_path() / "zeroth-test-XXXXXX").string();
  REQUIRE(::mkdtemp(pattern.data()) != nullptr);
  path_ = pattern;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TempDir::path(std::string_view name) const {
  return name.empty() ? path_.string() : (path_ / name).string();
}

std::string TempDir::write(std::string_view name, std::string_view content) const {
  const std::string file = path(name);
  std::ofstream(file, std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
  return file;
}

std::string TempDir::read(std::string_view name) const {
  std::ifstream file(path(name), std::ios::binary);
  REQUIRE(file.is_open());
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace zeroth
