#include "supervisor/watch/path_filter.h"

#include <doctest/doctest.h>

namespace zeroth {

TEST_CASE("path filter: what editors, caches and version control leave behind is ignored by default") {
  const PathFilter filter;
  for (const char* path : {".git", "a/node_modules", "a/__pycache__", "x.swp", "a/x.py~", "4913", ".#x", "#x#", "a.tmp",
                           "a/b.pyc", ".nfs0001"})
    CHECK_MESSAGE(filter.ignored(path, false), path);
  for (const char* path : {"x.py", "a/b.c", "~", "swp", "git", "..data", "#", "node_modules.txt", "14913"})
    CHECK_MESSAGE(!filter.ignored(path, false), path);
}

TEST_CASE("path filter: a glob without a slash matches names, with one the relative path") {
  const PathFilter filter({"*.log", "build/*.o", "/top", "out/"});
  CHECK(filter.ignored("a/b/x.log", false));
  CHECK(filter.ignored("build/x.o", false));
  CHECK_FALSE(filter.ignored("build/a/x.o", false));
  CHECK_FALSE(filter.ignored("a/build/x.o", false));
  CHECK(filter.ignored("top", false));
  CHECK_FALSE(filter.ignored("a/top", false));
  CHECK(filter.ignored("a/out", true));
  CHECK_FALSE(filter.ignored("a/out", false));
}

}  // namespace zeroth
