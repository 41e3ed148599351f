#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cerrno>

#include "tests/supervisor/snapshot/store_fixture.h"

namespace zeroth {
namespace {

struct PinnedStore : OpenedStore {
  Status pin(std::uint64_t sequence) {
    return wait<Status>([&](auto done) { store->pin(sequence, done); });
  }
  Status unpin(std::uint64_t sequence) {
    return wait<Status>([&](auto done) { store->unpin(sequence, done); });
  }
  void save_some(int count) {
    for (int i = 0; i < count; ++i) REQUIRE(save("1"));
  }
  std::string pins() const { return worker + "/pins.json"; }
  bool kept(std::uint64_t sequence) const { return std::filesystem::exists(path(sequence)); }
};

}  // namespace

TEST_CASE("pins: a pinned snapshot outlives retention, a full disk and a restart, until it is unpinned") {
  PinnedStore at;
  at.save_some(1);
  REQUIRE(at.pin(1));
  CHECK(at.store->is_pinned(1));
  at.save_some(9);
  CHECK(at.kept(1));
  CHECK_FALSE(at.kept(2));
  at.reopen();
  CHECK(at.store->is_pinned(1));
  at.save_some(9);
  CHECK(at.kept(1));
  REQUIRE(at.wait<Status>([&](auto done) { at.store->shrink(1 << 20, done); }));
  CHECK(at.kept(1));
  CHECK(at.store->count() == 3);
  struct stat info {};
  REQUIRE(::stat(at.pins().c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  REQUIRE(at.unpin(1));
  CHECK_FALSE(at.store->is_pinned(1));
  at.save_some(3);  // with the two that were left the newest five
  CHECK_FALSE(at.kept(1));
}

TEST_CASE("pins: twice is once, and unpinning what is not pinned succeeds") {
  PinnedStore at;
  at.save_some(2);
  CHECK(at.pin(1));
  CHECK(at.pin(1));
  CHECK(at.unpin(2));
  CHECK(at.unpin(1));
  CHECK(at.unpin(1));
}

TEST_CASE("pins: what does not exist cannot be pinned or unpinned") {
  PinnedStore at;
  at.save_some(8);
  for (const std::uint64_t sequence : {std::uint64_t(0), std::uint64_t(1), std::uint64_t(99)}) {
    CHECK(at.pin(sequence).error().code == ENOENT);
    CHECK(at.unpin(sequence).error().code == ENOENT);
    CHECK_FALSE(at.store->is_pinned(sequence));
  }
  std::filesystem::remove(at.path(7));
  CHECK(at.pin(7).error().code == ENOENT);
  CHECK_FALSE(std::filesystem::exists(at.pins()));
}

TEST_CASE("pins: changes that overtake each other end as they were asked for") {
  PinnedStore at;
  at.save_some(5);
  int answered = 0;
  const auto count = [&](const Status& done) { answered += done ? 1 : 0; };
  for (std::uint64_t sequence = 1; sequence <= 5; ++sequence) at.store->pin(sequence, count);
  at.loop.run();
  for (std::uint64_t sequence = 1; sequence <= 3; ++sequence) at.store->unpin(sequence, count);
  at.loop.run();
  CHECK(answered == 8);
  at.reopen();
  for (std::uint64_t sequence = 1; sequence <= 5; ++sequence) CHECK(at.store->is_pinned(sequence) == (sequence > 3));
}

TEST_CASE("pins: a file that cannot be understood is set aside, said, and nothing that it may have named is pruned") {
  PinnedStore at;
  at.save_some(5);
  REQUIRE(at.pin(1));
  const std::string elsewhere = at.folder.path() + "/elsewhere";
  const auto spoil = [&](const std::string& how) {
    std::filesystem::remove_all(at.pins());
    if (how == "a link") {
      REQUIRE(write_file_atomically(elsewhere, R"({"pins":[]})"));
      std::filesystem::create_symlink(elsewhere, at.pins());
    } else if (how == "a folder") {
      std::filesystem::create_directory(at.pins());
    } else {
      REQUIRE(write_file_atomically(at.pins(), how));
    }
  };
  for (const char* how : {"", "{\"pins\":[{\"sequence\":1", "[]", R"({"pins":[-1]})", R"({"pins":{"1":2}})", "\xff\xfe",
                          "a link", "a folder"}) {
    CAPTURE(how);
    spoil(how);
    at.reopen();
    CHECK_FALSE(at.store->pins_lost().empty());
    CHECK(at.store->rejected().front().file == "pins.json");
    CHECK(std::filesystem::exists(std::filesystem::symlink_status(at.pins() + ".corrupt")));
    CHECK_FALSE(std::filesystem::exists(std::filesystem::symlink_status(at.pins())));
    at.save_some(7);
    CHECK(at.kept(1));
    CHECK(at.pin(2));
    std::filesystem::remove_all(at.pins() + ".corrupt");
  }
  at.reopen();
  CHECK(at.store->pins_lost().empty());
  CHECK(at.store->is_pinned(2));
  at.save_some(6);
  CHECK_FALSE(at.kept(1));
}

TEST_CASE("pins: entries of snapshots that are gone pin nothing later") {
  PinnedStore at;
  REQUIRE(write_file_atomically(at.pins(), R"({"pins":[{"sequence":1},{"sequence":999999999999999999}]})"));
  at.reopen();
  at.save_some(1);
  CHECK_FALSE(at.store->is_pinned(1));
  CHECK(at.store->next_sequence() == 2);
}

TEST_CASE("pins: one that cannot be written down holds in this process") {
  PinnedStore at;
  at.save_some(1);
  std::filesystem::create_directories(at.pins() + "/in the way");
  CHECK_FALSE(at.pin(1));
  CHECK(at.store->is_pinned(1));
}

}  // namespace zeroth
