#include "supervisor/watch/path_chain.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "common/files.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> links_of(const PathChain& chain) {
  std::vector<std::string> links;
  for (const ChainLink& link : chain.links) links.push_back(link.folder + ":" + link.name + (link.final ? "!" : ""));
  return links;
}

}  // namespace

TEST_CASE("path chain: a plain file depends on its name and on its folder's") {
  const TempDir dir;
  const std::string folder = fs::canonical(dir.path()).string();
  REQUIRE(write_file_atomically(folder + "/a", "x"));
  const PathChain chain = follow_path(folder + "//./a");
  CHECK(chain.real == folder + "/a");
  CHECK_FALSE(chain.is_folder);
  CHECK(links_of(chain) == std::vector{folder + ":a!", folder_of(folder) + ":" + name_of(folder)});
}

TEST_CASE("path chain: every symbolic link on the way counts, and where it leads") {
  const TempDir dir;
  const std::string folder = fs::canonical(dir.path()).string(), name = name_of(folder), above = folder_of(folder);
  REQUIRE(make_folders(folder + "/v1/sub"));
  REQUIRE(write_file_atomically(folder + "/v1/a", "x"));
  fs::create_symlink("v1/sub/..", folder + "/data");
  fs::create_symlink(folder + "/data/a", folder + "/a");
  const PathChain chain = follow_path(folder + "/a");
  CHECK(chain.real == folder + "/v1/a");
  CHECK(links_of(chain) == std::vector{folder + ":a!", above + ":" + name, folder + ":data", above + ":" + name,
                                       folder + "/v1:a!", folder + ":v1"});
}

TEST_CASE("path chain: a folder depends on its name in its parent") {
  const TempDir dir;
  const std::string folder = fs::canonical(dir.path()).string();
  const PathChain chain = follow_path(folder + "/");
  CHECK(chain.real == folder);
  CHECK(chain.is_folder);
  REQUIRE_FALSE(chain.links.empty());
  CHECK(chain.links[0] == ChainLink{folder_of(folder), name_of(folder), true});
  CHECK(follow_path("/").is_folder);
}

TEST_CASE("path chain: a path that leads nowhere ends with the missing name; a loop of links ends") {
  const TempDir dir;
  const std::string folder = fs::canonical(dir.path()).string();
  PathChain chain = follow_path(folder + "/b/c");
  CHECK(chain.real.empty());
  CHECK(chain.links[0] == ChainLink{folder, "b", false});
  CHECK(follow_path(folder + "/b").links[0] == ChainLink{folder, "b", true});
  fs::create_symlink("y", folder + "/x");
  fs::create_symlink("x", folder + "/y");
  CHECK(follow_path(folder + "/x").real.empty());
}

}  // namespace zeroth
