#include "supervisor/watch/file_watcher.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <filesystem>

#include "common/files.h"
#include "common/hash.h"
#include "supervisor/watch/content_hash.h"
#include "tests/supervisor/watch/watched.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

namespace fs = std::filesystem;

FileWatcher::Options polling(Milliseconds every) {
  FileWatcher::Options options;
  options.poll = true;
  options.poll_interval = every;
  return options;
}

}  // namespace

TEST_CASE("file watcher: one file written in place is reported in the turn of the loop that sees its close") {
  const TempDir dir;
  const std::string file = dir.path() + "/a.zero";
  put(file, "one");
  Watched watched({file});
  watched.turn();
  const MonotonicTime began = monotonic_now();
  put(file, "two");
  watched.turn();
  REQUIRE(watched.seen.size() == 1);
  CHECK(watched.seen[0].paths == std::vector{file});
  CHECK(watched.seen[0].count == 1);
  MESSAGE("save to report: ", elapsed_ms(began, monotonic_now()), " ms, of these ",
          elapsed_ms(began, watched.seen[0].first_event), " to the first event");
}

TEST_CASE("file watcher: other files of the folder give no report") {
  const TempDir dir;
  const std::string file = dir.path() + "/a.zero";
  put(file, "one");
  Watched watched({file});
  put(dir.path() + "/b.zero", "other");
  put(file, "two");
  CHECK(watched.wait_for(file));
  CHECK(watched.seen.size() == 1);
  CHECK(watched.seen[0].count == 1);
}

TEST_CASE("file watcher: a save as vim makes it is one report") {
  const TempDir dir;
  const std::string file = dir.path() + "/a.zero";
  put(file, "one");
  Watched watched({file});
  REQUIRE(::rename(file.c_str(), (file + "~").c_str()) == 0);
  watched.turn();
  CHECK(watched.seen.empty());
  put(file, "two");
  CHECK(watched.wait_for(file));
  ::unlink((file + "~").c_str());
  watched.turn();
  CHECK(watched.seen.size() == 1);
}

TEST_CASE(
    "file watcher: a file renamed or hard-linked over the watched one is a save, and so is the next write to it") {
  const TempDir dir;
  const std::string file = dir.path() + "/a.zero", other = dir.path() + "/sedAbCdEf";
  put(file, "one");
  Watched watched({file});
  put(other, "two");
  REQUIRE(::rename(other.c_str(), file.c_str()) == 0);
  CHECK(watched.wait_again(file));
  put(other, "three");
  REQUIRE(::unlink(file.c_str()) == 0);
  REQUIRE(::link(other.c_str(), file.c_str()) == 0);
  watched.seen.clear();
  watched.turn();
  CHECK(watched.has_seen(file));
  put(file, "four");
  CHECK(watched.wait_again(file));
}

TEST_CASE("file watcher: truncated and written while open settles at the close") {
  const TempDir dir;
  const std::string file = dir.path() + "/a.zero";
  put(file, "one");
  Watched watched({file});
  UniqueFd fd(::open(file.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
  watched.turn();
  REQUIRE(write_all(fd.get(), "two"));
  watched.turn();
  CHECK(watched.seen.empty());
  fd.reset();
  watched.turn();
  CHECK(watched.seen.size() == 1);
}

TEST_CASE("file watcher: a writer that never closes is reported all the same, after the time a file may stay open") {
  const TempDir dir;
  const std::string file = dir.path() + "/a.zero";
  put(file, "one");
  Watched watched({file});
  const UniqueFd fd(::open(file.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
  REQUIRE(write_all(fd.get(), "two"));
  CHECK(watched.wait_for(file));
  CHECK(monotonic_now() - watched.seen[0].first_event >= SettleTimes().open);
}

TEST_CASE("file watcher: a symbolic link set to another file is a save, then that file is watched") {
  const TempDir dir;
  const std::string link = dir.path() + "/current.zero", far = dir.path() + "/far";
  REQUIRE(fs::create_directories(far));
  put(dir.path() + "/one.zero", "one");
  put(far + "/two.zero", "two");
  fs::create_symlink("one.zero", link);
  Watched watched({link});
  put(dir.path() + "/one.zero", "one again");
  CHECK(watched.wait_again(link));
  fs::create_symlink("far/two.zero", dir.path() + "/next");
  fs::rename(dir.path() + "/next", link);
  CHECK(watched.wait_again(link));
  put(far + "/two.zero", "two again");
  CHECK(watched.wait_again(link));
  watched.seen.clear();
  put(dir.path() + "/one.zero", "no longer ours");
  put(far + "/two.zero", "ours");
  CHECK(watched.wait_for(link));
  CHECK(watched.seen.size() == 1);
}

TEST_CASE("file watcher: a ConfigMap's ..data swap is a save, every time") {
  const TempDir dir;
  const std::string file = dir.path() + "/a.zero";
  const auto publish = [&](const std::string& version) {
    REQUIRE(fs::create_directories(dir.path() + "/.." + version));
    put(dir.path() + "/.." + version + "/a.zero", version);
    fs::create_symlink(".." + version, dir.path() + "/..data_tmp");
    fs::rename(dir.path() + "/..data_tmp", dir.path() + "/..data");
  };
  publish("v1");
  fs::create_symlink("..data/a.zero", file);
  Watched watched({file});
  Watched folder({dir.path()});
  for (const char* version : {"v2", "v3"}) {
    publish(version);
    CHECK(watched.wait_again(file));
    CHECK(folder.wait_again(dir.path() + "/..data"));
    CHECK(read_file(file).value_or("") == version);
  }
}

TEST_CASE("file watcher: a folder replaced by another is seen, and watched from then on") {
  const TempDir dir;
  const std::string folder = dir.path() + "/app", file = folder + "/a.zero";
  REQUIRE(fs::create_directories(folder));
  REQUIRE(fs::create_directories(dir.path() + "/new"));
  put(file, "one");
  put(dir.path() + "/new/a.zero", "two");
  Watched of_file({file});
  Watched of_folder({folder});
  fs::rename(folder, dir.path() + "/old");
  fs::rename(dir.path() + "/new", folder);
  CHECK(of_file.wait_again(file));
  CHECK(of_folder.wait_again(file));
  put(file, "three");
  CHECK(of_file.wait_again(file));
  CHECK(of_folder.wait_again(file));
}

TEST_CASE("file watcher: a file or its folder deleted is reported, and so is its return") {
  const TempDir dir;
  const std::string folder = dir.path() + "/app", file = folder + "/a.zero";
  REQUIRE(fs::create_directories(folder));
  put(file, "one");
  Watched of_file({file});
  Watched of_folder({folder});
  fs::remove(file);
  CHECK(of_file.wait_again(file));
  CHECK(of_folder.wait_again(file));
  put(file, "two");
  CHECK(of_file.wait_again(file));
  CHECK(of_folder.wait_again(file));
  fs::remove_all(folder);
  CHECK(of_file.wait_again(file));
  CHECK(of_folder.wait_again(file));
  REQUIRE(fs::create_directories(folder));
  put(file, "three");
  CHECK(of_file.wait_again(file));
  CHECK(of_folder.wait_again(file));
}

TEST_CASE("file watcher: a target that does not exist yet is reported when it comes") {
  const TempDir dir;
  const std::string file = dir.path() + "/not/yet/a.zero";
  Watched watched({file});
  REQUIRE(fs::create_directories(dir.path() + "/not/yet"));
  put(file, "one");
  CHECK(watched.wait_for(file));
}

TEST_CASE("file watcher: a change hidden behind 20,000 others that overflow the queue is found") {
  const TempDir dir;
  const std::string file = dir.path() + "/a.zero";
  put(file, "one");
  Watched of_file({file});
  Watched of_folder({dir.path()});
  for (int i = 0; i < 20'000; ++i) {
    const UniqueFd fd(
        ::open((dir.path() + "/" + std::to_string(i) + ".tmp").c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0600));
  }
  put(file, "two");
  CHECK(of_file.wait_for(file));
  CHECK(of_folder.wait_for(file));
  CHECK(of_folder.seen.back().count == 1);
  put(file, "three");
  CHECK(of_file.wait_again(file));
  CHECK(of_folder.wait_again(file));
  CHECK(of_file.watcher.mode() == WatchMode::Inotify);
}

TEST_CASE("file watcher: after twenty saves in quick succession the last content is what was seen") {
  const TempDir dir;
  const std::string file = dir.path() + "/a.zero";
  put(file, "0");
  Watched watched({file});
  std::string last;
  for (int i = 1; i <= 20; ++i) {
    last = std::to_string(i);
    put(file, last);
    if (i % 3 == 0) watched.turn();
  }
  const WatchScope scope({file}, IgnoreRules());
  std::size_t looked = 0;
  std::string seen;
  CHECK(watched.wait([&] {
    if (watched.seen.size() > looked) seen = hash_targets(scope).hex;
    looked = watched.seen.size();
    return seen == xxh3_hex(last);
  }));
}

TEST_CASE("file watcher: a write through a mapping, which gives no event, is found by the slow poll") {
  const TempDir dir;
  const std::string file = dir.path() + "/a.zero";
  put(file, "one");
  FileWatcher::Options options;
  options.poll_interval = Milliseconds(20);
  Watched watched({file}, options);
  const UniqueFd fd(::open(file.c_str(), O_RDWR | O_CLOEXEC));
  void* const map = ::mmap(nullptr, 3, PROT_WRITE, MAP_SHARED, fd.get(), 0);
  REQUIRE(map != MAP_FAILED);
  static_cast<char*>(map)[0] = 'O';
  ::msync(map, 3, MS_SYNC);
  ::munmap(map, 3);
  CHECK(watched.wait_for(file));
}

TEST_CASE("file watcher: what an event reported, the slow poll does not report again") {
  const TempDir dir;
  put(dir.path() + "/a", "one");
  FileWatcher::Options options;
  options.poll_interval = Milliseconds(5);
  Watched watched({dir.path()}, options);
  put(dir.path() + "/a", "two");
  CHECK(watched.wait_for(dir.path() + "/a"));
  put(dir.path() + "/b", "then another");  // its report takes 20 ms, so several polls
  CHECK(watched.wait_for(dir.path() + "/b"));
  CHECK(watched.seen.size() == 2);
}

TEST_CASE("file watcher: polling finds changes, new files and removals") {
  const TempDir dir;
  put(dir.path() + "/a", "one");
  Watched watched({dir.path()}, polling(Milliseconds(10)));
  CHECK(watched.watcher.mode() == WatchMode::Poll);
  CHECK(watched.watcher.watches() == 0);
  put(dir.path() + "/a", "other");
  CHECK(watched.wait_again(dir.path() + "/a"));
  put(dir.path() + "/b", "new");
  CHECK(watched.wait_again(dir.path() + "/b"));
  fs::remove(dir.path() + "/a");
  CHECK(watched.wait_again(dir.path() + "/a"));
}

TEST_CASE("file watcher: without watches left it says which limit and polls") {
  const TempDir dir;
  const std::string file = dir.path() + "/a.zero";
  put(file, "one");
  FileWatcher::Options options;
  options.most_watches = 1;
  options.poll_interval = Milliseconds(10);
  Watched watched({file}, options);
  CHECK(watched.watcher.mode() == WatchMode::Poll);
  REQUIRE(watched.notes.size() == 1);
  CHECK(watched.notes[0].find("fs.inotify.max_user_watches") != std::string::npos);
  put(file, "other");
  CHECK(watched.wait_for(file));
}

TEST_CASE("file watcher: its owner may destroy it in the report") {
  const TempDir dir;
  const std::string file = dir.path() + "/a.zero";
  put(file, "one");
  Loop loop;
  FileWatcher::Options options;
  options.scope = std::make_shared<WatchScope>(std::vector{file}, IgnoreRules());
  std::unique_ptr<FileWatcher> watcher;
  watcher = std::make_unique<FileWatcher>(
      loop, options, [&](const Changes&) { watcher.reset(); }, [](const std::string&) {});
  watcher->start();
  put(file, "two");
  loop.run();
  CHECK(watcher == nullptr);
}

}  // namespace zeroth
