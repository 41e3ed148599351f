// What is told before a change has settled.

#include <doctest/doctest.h>
#include <fcntl.h>

#include <filesystem>

#include "tests/supervisor/watch/watched.h"
#include "tests/support/temp_dir.h"

namespace zeroth {

namespace fs = std::filesystem;

TEST_CASE("file watcher: in a folder one complete save is told early, and once more when nothing has followed") {
  const TempDir dir;
  const std::string file = dir.path() + "/a";
  put(file, "one");
  FileWatcher::Options options;
  options.early = true;
  Watched watched({dir.path()}, options);
  put(file, "two");
  REQUIRE(watched.wait([&] { return watched.seen.size() == 2; }));
  CHECK_FALSE(watched.seen[0].settled);
  CHECK(watched.seen[1].settled);
  CHECK(watched.seen[0].first_event == watched.seen[1].first_event);
  CHECK_FALSE(watched.seen[1].more);
  for (const Changes& changes : watched.seen) CHECK(changes.paths == std::vector{file});
  watched.seen.clear();
  const auto told = [&] { return !watched.seen.empty() && watched.seen.back().settled; };
  put(file, "three");
  REQUIRE(watched.wait([&] { return !watched.seen.empty(); }));
  fs::remove(file);  // what was told early is never left open
  REQUIRE(watched.wait(told));
  CHECK(watched.seen.size() == 2);
  CHECK(watched.seen[1].more);
}

TEST_CASE("file watcher: whoever read after an early report is told of what was written since, be it the same") {
  const TempDir dir;
  const std::string a = dir.path() + "/a", b = dir.path() + "/b";
  put(a, "one");
  put(b, "one");
  FileWatcher::Options options;
  options.early = true;
  Watched watched({dir.path()}, options);
  put(a, "two");
  REQUIRE(watched.wait([&] { return !watched.seen.empty(); }));
  put(b, "one");
  REQUIRE(watched.wait([&] { return watched.seen.size() == 2; }));
  CHECK(watched.seen[1].more);
  put(a, "three");
  REQUIRE(watched.wait([&] { return watched.seen.size() == 3; }));
  put(dir.path() + "/new", "");
  fs::remove(dir.path() + "/new");  // nobody has read that
  REQUIRE(watched.wait([&] { return watched.seen.size() == 4; }));
  CHECK_FALSE(watched.seen[3].more);
}

TEST_CASE("file watcher: what may be half a change, or is to wait, is not told early") {
  const TempDir dir;
  const std::string a = dir.path() + "/a", b = dir.path() + "/b";
  put(a, "one");
  put(b, "one");
  FileWatcher::Options early;
  early.early = true;
  const auto settled_only = [](Watched& watched) {
    REQUIRE(watched.wait([&] { return !watched.seen.empty(); }));
    CHECK(watched.seen.size() == 1);
    CHECK(watched.seen[0].settled);
    return watched.seen[0].count;
  };
  {
    Watched watched({dir.path()}, early);
    put(a, "two");
    put(b, "two");
    CHECK(settled_only(watched) == 2);
  }
  {
    Watched watched({dir.path()}, early);
    put(dir.path() + "/new", "one");
    CHECK(settled_only(watched) == 1);
  }
  {
    Watched watched({dir.path()}, early);
    const UniqueFd writer(::open(b.c_str(), O_WRONLY | O_CLOEXEC));
    REQUIRE(write_all(writer.get(), "half"));
    put(a, "three");
    CHECK(settled_only(watched) == 2);
  }
  FileWatcher::Options asked = early;
  asked.quiet = Milliseconds(30);
  Watched watched({dir.path()}, asked);
  put(a, "four");
  CHECK(settled_only(watched) == 1);
}

}  // namespace zeroth
