#include "supervisor/snapshot/snapshot_store.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "common/json_reader.h"
#include "tests/supervisor/snapshot/store_fixture.h"

namespace zeroth {
namespace {

// A small file system, unmounted with its end.
struct SmallDisk {
  explicit SmallDisk(const char* options) : mounted(::mount("tmpfs", folder.path().c_str(), "tmpfs", 0, options) == 0) {
    if (!mounted) MESSAGE("skipped, mount: ", std::strerror(errno));
  }
  ~SmallDisk() {
    if (mounted) ::umount2(folder.path().c_str(), MNT_DETACH);
  }
  TempDir folder;
  bool mounted;
};

}  // namespace

TEST_CASE("store: a file size limit leaves no temporary file and older snapshots alone") {
  OpenedStore at;
  REQUIRE(at.save("1"));
  const auto old = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const rlimit small{1 << 16, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  const auto saved = at.save(std::string(1 << 17, ' ') + "1");
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, old);
  REQUIRE_FALSE(saved);
  CHECK(saved.error().code == EFBIG);
  CHECK(at.names() == std::vector{snapshot_name(1)});
  CHECK(at.save("3")->sequence == 3);
}

// Not under the sanitizers: their check of virtual tables needs a descriptor itself and reports when it gets none.
#ifndef __SANITIZE_ADDRESS__
TEST_CASE("store: without a free descriptor the spare one is used") {
  OpenedStore at;
  REQUIRE(at.save("1"));
  std::vector<UniqueFd> hogs;
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit small{64, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &small) == 0);
  while (hogs.empty() || hogs.back()) hogs.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const auto second = at.save("2");
  const auto third = at.save("3");
  hogs.clear();
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(second);
  CHECK(third);
}
#endif

TEST_CASE("store: a full disk leaves no temporary file and older snapshots alone") {
  if (!is_root("a small tmpfs")) return;
  const SmallDisk disk("size=256k");
  if (!disk.mounted) return;
  OpenedStore at("/srv/a.zero", disk.folder.path() + "/worker");
  REQUIRE(at.save("1"));
  const auto full = at.save(std::string(1 << 20, ' ') + "1");
  REQUIRE_FALSE(full);
  CHECK(full.error().code == ENOSPC);
  CHECK(at.names() == std::vector{snapshot_name(1)});
  CHECK(at.store->newest()->sequence == 1);
  const auto draft = at.begin();
  REQUIRE(draft);
  {
    const UniqueFd hog(::open((disk.folder.path() + "/hog").c_str(), O_WRONLY | O_CREAT, 0600));
    CHECK_FALSE(write_all(hog.get(), std::string(1 << 20, 'h')));
  }
  CHECK(at.write(*draft, "2").error().code == ENOSPC);
  std::filesystem::remove(disk.folder.path() + "/hog");
  CHECK(at.save("4")->sequence == 4);
}

TEST_CASE("store: a disk that becomes read-only fails a save with EROFS and is still read") {
  if (!is_root("a small tmpfs")) return;
  const SmallDisk disk("size=256k");
  if (!disk.mounted) return;
  OpenedStore at("/srv/a.zero", disk.folder.path() + "/worker");
  REQUIRE(at.save("1"));
  REQUIRE(at.save("2"));
  at.damage(2);
  REQUIRE(::mount("", disk.folder.path().c_str(), "", MS_REMOUNT | MS_RDONLY, "size=256k") == 0);
  CHECK(at.begin().error().code == EROFS);
  at.reopen();
  CHECK(at.search().found->state == "1");
  CHECK(at.store->rejected()[0].file == snapshot_name(2));
}

}  // namespace zeroth
