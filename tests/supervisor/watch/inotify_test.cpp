// Watchers that share one inotify descriptor.

#include "supervisor/watch/inotify.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "supervisor/watch/file_watcher.h"
#include "tests/supervisor/watch/watched.h"
#include "tests/support/run_until.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

// Several watchers on one hub; each watches one file.
struct Sharing {
  struct One {
    std::unique_ptr<FileWatcher> watcher;
    int reports = 0;
  };

  One& add(const std::string& path) {
    auto one = std::make_unique<One>();
    FileWatcher::Options options = Watched::scoped({path}, {});
    options.hub = hub;
    one->watcher = std::make_unique<FileWatcher>(
        loop, options, [raw = one.get()](const Changes&) { ++raw->reports; },
        [](const std::string& note) { FAIL_CHECK(note); });
    one->watcher->start();
    all.push_back(std::move(one));
    return *all.back();
  }
  Loop loop;
  std::shared_ptr<InotifyHub> hub = InotifyHub::on(loop);
  std::vector<std::unique_ptr<One>> all;
};

std::size_t inotify_descriptors() {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    if (std::filesystem::read_symlink(entry.path(), error).string().find("inotify") != std::string::npos) ++count;
  }
  return count;
}

}  // namespace

TEST_CASE(
    "inotify: watchers of one folder share a watch, each hears of its own, and one that goes takes nothing along") {
  TempDir dir;
  put(dir.path("left"), "1");
  put(dir.path("right"), "1");
  Sharing sharing;
  auto& left = sharing.add(dir.path("left"));
  auto& right = sharing.add(dir.path("right"));
  put(dir.path("right"), "2");
  CHECK(run_until(sharing.loop, [&] { return right.reports == 1; }));
  CHECK(left.reports == 0);
  left.watcher.reset();
  put(dir.path("right"), "3");
  CHECK(run_until(sharing.loop, [&] { return right.reports == 2; }));
  right.watcher.reset();
  CHECK(inotify_descriptors() == 0);
  auto& again = sharing.add(dir.path("left"));
  put(dir.path("left"), "2");
  CHECK(run_until(sharing.loop, [&] { return again.reports == 1; }));
}

TEST_CASE("inotify: 300 watchers take one descriptor and none has to poll") {
  TempDir dir;
  Sharing sharing;
  for (int i = 0; i < 300; ++i) sharing.add(dir.path(std::to_string(i)));
  CHECK(inotify_descriptors() == 1);
  for (const auto& one : sharing.all) CHECK(one->watcher->mode() == WatchMode::Inotify);
  put(dir.path("299"), "1");
  CHECK(run_until(sharing.loop, [&] { return sharing.all.back()->reports == 1; }));
}

TEST_CASE("inotify: a watcher may go while the others are being told") {
  TempDir dir;
  put(dir.path("one"), "1");
  Sharing sharing;
  Sharing::One* gone = nullptr;
  FileWatcher::Options options = Watched::scoped({dir.path("one")}, {});
  options.hub = sharing.hub;
  std::unique_ptr<FileWatcher> leaver;
  leaver = std::make_unique<FileWatcher>(
      sharing.loop, options,
      [&](const Changes&) {
        gone->watcher.reset();
        leaver.reset();
      },
      [](const std::string&) {});
  leaver->start();
  gone = &sharing.add(dir.path("one"));
  auto& second = sharing.add(dir.path("one"));
  put(dir.path("one"), "2");
  CHECK(run_until(sharing.loop, [&] { return second.reports == 1 && leaver == nullptr; }));
  CHECK(gone->reports == 0);
  put(dir.path("one"), "3");
  CHECK(run_until(sharing.loop, [&] { return second.reports == 2; }));
}

}  // namespace zeroth
