#include "supervisor/watch/file_watcher.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "supervisor/watch/content_hash.h"
#include "tests/supervisor/watch/watched.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

namespace fs = std::filesystem;

}  // namespace

TEST_CASE("file watcher: more new files than it keeps are all known in the end, and reported by count") {
  const TempDir dir;
  Watched watched({dir.path()});
  const std::size_t files = 4'500;
  for (std::size_t i = 0; i < files; ++i) put(dir.path() + "/f" + std::to_string(i), "x");
  CHECK(watched.wait([&] { return watched.watcher.files() == files; }));
  CHECK(watched.seen[0].paths.size() == 20);
  CHECK(watched.seen[0].count > 1'000);
}

TEST_CASE("file watcher: files in sub-folders made at once with them are reported, and later changes there") {
  const TempDir dir;
  Watched watched({dir.path()});
  REQUIRE(fs::create_directories(dir.path() + "/a/b/c"));
  const std::string file = dir.path() + "/a/b/c/f";
  put(file, "one");
  CHECK(watched.wait_again(file));
  CHECK(watched.seen.size() == 1);
  put(file, "two");
  CHECK(watched.wait_again(file));
}

TEST_CASE("file watcher: a sub-folder renamed is watched under its new name") {
  const TempDir dir;
  REQUIRE(fs::create_directories(dir.path() + "/a/b"));
  put(dir.path() + "/a/b/f", "one");
  Watched watched({dir.path()});
  const std::size_t watches = watched.watcher.watches();
  fs::rename(dir.path() + "/a", dir.path() + "/z");
  CHECK(watched.wait_for(dir.path() + "/z/b/f"));
  CHECK(watched.has_seen(dir.path() + "/a"));
  CHECK(watched.watcher.watches() == watches);
  put(dir.path() + "/z/b/f", "two");
  CHECK(watched.wait_again(dir.path() + "/z/b/f"));
  CHECK(watched.seen.back().count == 1);
}

TEST_CASE("file watcher: several changes in a folder that come together are one report") {
  const TempDir dir;
  Watched watched({dir.path()});
  for (const char* name : {"/c", "/a", "/b"}) put(dir.path() + name, "x");
  CHECK(watched.wait_for(dir.path() + "/a"));
  CHECK(watched.seen.size() == 1);
  CHECK(watched.seen[0].paths == std::vector{dir.path() + "/a", dir.path() + "/b", dir.path() + "/c"});
}

TEST_CASE("file watcher: ignored paths, excluded folders and files that came and went give no report") {
  const TempDir dir;
  for (const char* folder : {"/.git", "/state", "/node_modules/x"})
    REQUIRE(fs::create_directories(dir.path() + folder));
  FileWatcher::Options options;
  options.scope = std::make_shared<WatchScope>(std::vector{dir.path()}, IgnoreRules::parse("*.log"),
                                               std::vector{dir.path() + "/state"});
  Watched watched(options);
  CHECK(watched.watcher.watches() == Watched({dir.path() + "/state"}).watcher.watches());
  for (const char* name :
       {"/.git/index", "/state/snapshot", "/node_modules/x/y.js", "/out.log", "/a.swp", "/4913", "/gone"})
    put(dir.path() + name, "x");
  REQUIRE(fs::create_directories(dir.path() + "/__pycache__"));
  put(dir.path() + "/__pycache__/m.pyc", "x");
  fs::remove(dir.path() + "/gone");
  put(dir.path() + "/real", "x");
  CHECK(watched.wait_for(dir.path() + "/real"));
  CHECK(watched.seen.size() == 1);
  CHECK(watched.seen[0].count == 1);
}

TEST_CASE("file watcher: a changed .gitignore changes what is watched and is itself no change") {
  const TempDir dir;
  put(dir.path() + "/.gitignore", "*.log\n");
  put(dir.path() + "/x.py", "1");
  Watched watched({dir.path()});
  CHECK(watched.watcher.files() == 1);
  put(dir.path() + "/.gitignore", "*.log\n*.dat\n");
  put(dir.path() + "/x.py", "2");
  CHECK(watched.wait_for(dir.path() + "/x.py"));
  put(dir.path() + "/x.dat", "1");
  put(dir.path() + "/x.py", "3");
  CHECK(watched.wait_again(dir.path() + "/x.py"));
  CHECK_FALSE(watched.has_seen(dir.path() + "/x.dat"));
  CHECK_FALSE(watched.has_seen(dir.path() + "/.gitignore"));
  put(dir.path() + "/.gitignore", "");
  CHECK(watched.wait_again(dir.path() + "/x.dat"));
  put(dir.path() + "/x.dat", "2");
  CHECK(watched.wait_again(dir.path() + "/x.dat"));
}

TEST_CASE("file watcher: a rule above the watched folder counts as soon as it is written") {
  const TempDir dir;
  REQUIRE(fs::create_directories(dir.path() + "/.git/info"));
  REQUIRE(fs::create_directory(dir.path() + "/app"));
  put(dir.path() + "/app/x.dat", "1");
  put(dir.path() + "/.gitignore", "*.dat\n");
  Watched watched({dir.path() + "/app"});
  CHECK(watched.watcher.files() == 0);
  put(dir.path() + "/.gitignore", "");
  CHECK(watched.wait_for(dir.path() + "/app/x.dat"));
  put(dir.path() + "/.git/info/exclude", "*.dat\n");
  CHECK(watched.wait([&] { return watched.watcher.files() == 0; }));
}

TEST_CASE("file watcher: when new folders use up the watches it goes on by polling and loses nothing") {
  const TempDir dir;
  FileWatcher::Options options;
  options.most_watches = 5;
  options.poll_interval = Milliseconds(10);
  Watched watched({dir.path()}, options);
  CHECK(watched.watcher.mode() == WatchMode::Inotify);
  REQUIRE(fs::create_directories(dir.path() + "/a/b/c/d/e"));
  put(dir.path() + "/a/b/c/d/e/f", "x");
  CHECK(watched.wait_for(dir.path() + "/a/b/c/d/e/f"));
  CHECK(watched.watcher.mode() == WatchMode::Poll);
  CHECK(watched.notes.size() == 1);
}

TEST_CASE("file watcher: 10,000 files in 1,000 folders take one watch a folder") {
  const TempDir dir;
  const std::string root = dir.path() + "/app";
  for (int folder = 0; folder < 999; ++folder) {
    const std::string path = root + "/" + std::to_string(folder % 37) + "/" + std::to_string(folder);
    REQUIRE(fs::create_directories(path));
  }
  for (int i = 0; i < 10'000; ++i) {
    const int folder = i % 999;
    put(root + "/" + std::to_string(folder % 37) + "/" + std::to_string(folder) + "/f" + std::to_string(i), "x");
  }
  const MonotonicTime began = monotonic_now();
  Watched watched({root});
  MESSAGE("start: ", elapsed_ms(began, monotonic_now()), " ms");
  CHECK(watched.watcher.files() == 10'000);
  CHECK(watched.watcher.watches() == 1 + 37 + 999 + 2);  // root, two levels, and the root's parent and its parent
  HashCache cache;
  const WatchScope scope({root}, IgnoreRules());
  for (const std::string run : {"first", "second"}) {
    const MonotonicTime hashing = monotonic_now();
    CHECK(hash_targets(scope, &cache).files == 10'000);
    MESSAGE(run, " hash: ", elapsed_ms(hashing, monotonic_now()), " ms");
  }
  const std::string file = root + "/5/5/f5";
  const MonotonicTime saved = monotonic_now();
  put(file, "y");
  CHECK(watched.wait_for(file));
  MESSAGE("save to report, 20 ms of settling included: ", elapsed_ms(saved, monotonic_now()), " ms");
}

}  // namespace zeroth
