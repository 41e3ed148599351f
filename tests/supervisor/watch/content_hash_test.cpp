#include "supervisor/watch/content_hash.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "common/files.h"
#include "common/hash.h"
#include "tests/supervisor/watch/watched.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

namespace fs = std::filesystem;

std::string hash_of(const std::string& target) {
  return hash_targets(WatchScope({target}, IgnoreRules())).hex;
}

// As if it had been written long ago.
void age(const std::string& path) {
  const timespec times[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
  REQUIRE(::utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
}

}  // namespace

TEST_CASE("content hash: one file hashes as its bytes, also through a link and when larger than the buffer") {
  const TempDir dir;
  const std::string bytes(1'000'003, 'z');
  put(dir.path() + "/a", bytes);
  fs::create_symlink("a", dir.path() + "/link");
  CHECK(hash_of(dir.path() + "/a") == xxh3_hex(bytes));
  CHECK(hash_of(dir.path() + "/link") == xxh3_hex(bytes));
}

TEST_CASE("content hash: a file that is missing or a FIFO has none, with a note, and never blocks") {
  const TempDir dir;
  REQUIRE(::mkfifo((dir.path() + "/fifo").c_str(), 0600) == 0);
  for (const char* name : {"/fifo", "/missing"}) {
    const ContentHash hash = hash_targets(WatchScope({dir.path() + name}, IgnoreRules()));
    CHECK(hash.hex.empty());
    CHECK(hash.notes.size() == 1);
  }
}

TEST_CASE("content hash: a folder's depends on names, contents and links, not on its place, order or ignored files") {
  const TempDir one, two;
  put(one.path() + "/a", "1");
  put(one.path() + "/b", "2");
  put(two.path() + "/b", "2");
  put(two.path() + "/a", "1");
  put(two.path() + "/x.swp", "ignored");
  REQUIRE(::mkfifo((two.path() + "/fifo").c_str(), 0600) == 0);
  std::string before = hash_of(one.path());
  CHECK(before == hash_of(two.path()));
  const auto changed = [&] { return std::exchange(before, hash_of(one.path())) != before; };
  put(one.path() + "/a", "3");
  CHECK(changed());
  fs::rename(one.path() + "/a", one.path() + "/c");
  CHECK(changed());
  fs::create_symlink("/one", one.path() + "/link");
  CHECK(changed());
  fs::remove(one.path() + "/link");
  fs::create_symlink("/two", one.path() + "/link");
  CHECK(changed());
  CHECK_FALSE(changed());
}

TEST_CASE("content hash: several targets hash together, a missing one included") {
  const TempDir dir;
  put(dir.path() + "/a", "1");
  const WatchScope scope({dir.path() + "/a", dir.path() + "/b"}, IgnoreRules());
  const std::string without = hash_targets(scope).hex;
  put(dir.path() + "/b", "2");
  CHECK(hash_targets(scope).hex != without);
  CHECK(hash_targets(scope).files == 2);
}

TEST_CASE("content hash: a cache changes nothing but the time, even if only the change time tells a write") {
  const TempDir dir;
  put(dir.path() + "/a", "1");
  put(dir.path() + "/b", "2");
  const WatchScope scope({dir.path()}, IgnoreRules());
  HashCache cache;
  CHECK(hash_targets(scope, &cache).hex == hash_targets(scope).hex);
  CHECK(hash_targets(scope, &cache).hex == hash_targets(scope).hex);
  age(dir.path() + "/a");
  CHECK(hash_targets(scope, &cache).hex == hash_targets(scope).hex);
  const UniqueFd fd(::open((dir.path() + "/a").c_str(), O_WRONLY | O_CLOEXEC));
  REQUIRE(write_all(fd.get(), "9"));
  age(dir.path() + "/a");
  const ContentHash hash = hash_targets(scope, &cache);
  CHECK(hash.hex == hash_targets(scope).hex);
  CHECK(hash.bytes == 2);
}

TEST_CASE("inventory: a file written in the moment it was looked at counts as changed once more") {
  const TempDir dir;
  put(dir.path() + "/a", "1");
  const WatchScope scope({dir.path()}, IgnoreRules());
  const Inventory first = Inventory::take(scope);
  const Inventory second = Inventory::take(scope);
  CHECK(Inventory::difference(first, second, false).empty());
  CHECK(Inventory::difference(first, second, true) == std::vector{dir.path() + "/a"});
}

TEST_CASE("content hash: with a cache the paths that differ from the run before are named") {
  const TempDir dir;
  const std::string folder = dir.path() + "/code";
  fs::create_directory(folder);
  for (const char* name : {"/a", "/b", "/c"}) put(folder + name, "old");
  HashCache cache;
  const WatchScope scope({folder}, IgnoreRules());
  using Paths = std::vector<std::string>;
  CHECK(hash_targets(scope, &cache).changed.empty());  // nothing to compare with
  put(folder + "/b", "new");
  put(folder + "/d", "new");
  fs::remove(folder + "/a");
  CHECK(hash_targets(scope, &cache).changed == Paths{folder + "/a", folder + "/b", folder + "/d"});
  CHECK(hash_targets(scope, &cache).changed.empty());

  HashCache of_file;
  const WatchScope one({folder + "/b"}, IgnoreRules());
  CHECK(hash_targets(one, &of_file).changed.empty());
  put(folder + "/b", "newer");
  CHECK(hash_targets(one, &of_file).changed == Paths{folder + "/b"});
}

}  // namespace zeroth
