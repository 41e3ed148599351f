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

TEST_CASE("store: what was committed is found, whole, by the next store") {
  OpenedStore at;
  const auto committed = at.save(R"({"n":1})");
  REQUIRE(committed);
  CHECK(committed->sequence == 1);
  CHECK(committed->bytes == 7);
  CHECK(at.store->newest()->sequence == 1);
  CHECK(at.store->count() == 1);
  at.reopen();
  CHECK_FALSE(at.store->newest());
  const SearchResult result = at.search();
  REQUIRE(result.found);
  CHECK(result.skipped.empty());
  CHECK(result.found->state == R"({"n":1})");
  CHECK_FALSE(result.found->file);
  CHECK(result.found->envelope.generation == 3);
  CHECK(at.store->newest()->sequence == 1);
  CHECK(parse_json(*read_file(at.path(1))));
}

TEST_CASE("store: the folder is made for us alone, and a stranger's is refused") {
  StoreFixture at;
  REQUIRE(at.open());
  struct stat info {};
  REQUIRE(::stat(at.snapshots().c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0700);
  REQUIRE(at.save("1"));
  REQUIRE(::stat(at.path(1).c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  REQUIRE(::chmod(at.snapshots().c_str(), 0750) == 0);
  at.reset();
  CHECK(at.open().error().code == EPERM);
  REQUIRE(::chmod(at.snapshots().c_str(), 0700) == 0);
  if (is_root("a folder of another user")) {
    REQUIRE(::chown(at.snapshots().c_str(), 12345, 12345) == 0);
    CHECK(at.open().error().code == EPERM);
  }
}

TEST_CASE("store: a symbolic link instead of the folder is refused") {
  StoreFixture at;
  REQUIRE(make_folders(at.worker));
  REQUIRE(make_folders(at.folder.path() + "/elsewhere"));
  REQUIRE(::symlink((at.folder.path() + "/elsewhere").c_str(), at.snapshots().c_str()) == 0);
  CHECK_FALSE(at.open());
}

TEST_CASE("store: before it is open every call fails, on the loop") {
  StoreFixture at;
  CHECK_FALSE(at.begin());
  CHECK_FALSE(at.wait<Result<SearchResult>>([&](auto done) { at.store->search({}, done); }));
}

TEST_CASE("store: a worker writes a large state into its place itself") {
  OpenedStore at;
  const auto draft = at.begin();
  REQUIRE(draft);
  CHECK(draft->file.offset % 4096 == 0);
  const std::string state = "[" + std::string(200'000, ' ') + "1]";
  {
    const UniqueFd worker(::open(draft->file.path.c_str(), O_WRONLY | O_CLOEXEC));
    REQUIRE(write_all_at(worker.get(), state + "beyond what it announces", draft->file.offset));
  }
  REQUIRE(at.write(*draft, state.size()));
  REQUIRE(at.commit(*draft));
  const SearchResult result = at.search();
  REQUIRE(result.found);
  REQUIRE(result.found->file);
  CHECK(result.found->file->length == state.size());
  CHECK(read_file(result.found->file->path)->substr(result.found->file->offset, state.size()) == state);
  at.store->drop_link(*result.found->file);
  at.loop.run();
  CHECK(at.names() == std::vector{snapshot_name(1)});
  CHECK(parse_json(*read_file(at.path(1))));
}

TEST_CASE("store: a worker that announces more than it wrote, or nothing, gets no snapshot") {
  OpenedStore at;
  for (const std::uint64_t announced : {11, 0}) {
    const auto draft = at.begin();
    REQUIRE(draft);
    const UniqueFd worker(::open(draft->file.path.c_str(), O_WRONLY | O_CLOEXEC));
    REQUIRE(write_all_at(worker.get(), "[1,2,3,4]", draft->file.offset));
    CHECK_FALSE(at.write(*draft, announced));
    CHECK_FALSE(at.commit(*draft));
  }
  CHECK(at.names().empty());
}

TEST_CASE("store: rubbish that a worker wrote is no snapshot") {
  OpenedStore at;
  REQUIRE(at.save("1"));
  for (const std::string rubbish : {"[1,2", "\x01\x02\x03\x04", "{\"a\":1}}", "[\"\xff\"]"}) {
    const auto draft = at.begin();
    REQUIRE(draft);
    const UniqueFd worker(::open(draft->file.path.c_str(), O_WRONLY | O_CLOEXEC));
    REQUIRE(write_all_at(worker.get(), rubbish, draft->file.offset));
    REQUIRE(at.write(*draft, rubbish.size()));
    const auto committed = at.commit(*draft);
    REQUIRE_FALSE(committed);
    CHECK(committed.error().message.find("the state that the worker wrote: not JSON at byte") != std::string::npos);
  }
  CHECK(at.names() == std::vector{snapshot_name(1)});
}

TEST_CASE("store: what is not there as it was to be written is no snapshot") {
  OpenedStore at;
  REQUIRE(at.save("1"));
  std::uint64_t place = 0;  // in the file
  SUBCASE("of the header") {
    place = 3;
  }
  SUBCASE("of the length") {
    place = 60;
  }
  SUBCASE("of the state") {
    place = 4096 + 2;
  }
  SUBCASE("of the end") {
    place = 4096 + 9;
  }
  const auto draft = at.begin();
  REQUIRE(at.write(*draft, "{\"n\":12}"));
  const UniqueFd disk(::open(draft->file.path.c_str(), O_WRONLY | O_CLOEXEC));
  REQUIRE(write_all_at(disk.get(), std::string(1, '\0'), place));
  const auto committed = at.commit(*draft);
  REQUIRE_FALSE(committed);
  CHECK(committed.error().code == EIO);
  CHECK(at.names() == std::vector{snapshot_name(1)});
}

TEST_CASE("store: sequences are never used twice") {
  OpenedStore at;
  REQUIRE(at.save("1"));
  auto draft = at.begin();
  CHECK(draft->sequence == 2);
  at.store->abandon(std::move(*draft));
  draft = fail("");
  at.loop.run();
  CHECK(at.save("1")->sequence == 3);
  at.store->note_sequence(10);
  at.store->note_sequence(4);
  CHECK(at.save("1")->sequence == 11);

  SUBCASE("counted from the names of snapshots") {}
  SUBCASE("of corrupt ones") {
    std::filesystem::rename(at.path(11), at.path(11) + ".corrupt");
  }
  SUBCASE("of temporary files") {
    std::filesystem::remove(at.path(11));
    REQUIRE(write_file_atomically(at.snapshots() + "/.snapshot-11.4711.tmp", "x"));
  }
  SUBCASE("and of the quarantine") {
    REQUIRE(at.wait<Status>([&](auto done) { at.store->quarantine(11, "x", done); }));
    std::filesystem::remove(at.path(11));
  }
  at.reopen();
  CHECK(at.store->next_sequence() == 12);
}

TEST_CASE("store: when the numbers are used up it says so") {
  OpenedStore at;
  at.store->note_sequence(UINT64_MAX);
  CHECK_FALSE(at.begin());
  CHECK_FALSE(at.begin());
}

TEST_CASE("store: what dead processes left is removed, everything else stays") {
  OpenedStore at;
  for (const char* name : {".snapshot-7.99.tmp", ".restore-7.1", "notes.txt", ".snapshotrc"})
    REQUIRE(write_file_atomically(at.snapshots() + "/" + name, "x"));
  at.reopen();
  CHECK(at.names() == std::vector<std::string>{".snapshotrc", "notes.txt"});
}

TEST_CASE("store: opening again leaves what is under way alone") {
  OpenedStore at;
  const auto draft = at.begin();
  REQUIRE(at.open());
  REQUIRE(at.write(*draft, "1"));
  REQUIRE(at.commit(*draft));
  REQUIRE(at.open());
  CHECK(at.store->count() == 1);
  CHECK(at.store->newest()->sequence == 1);
}

TEST_CASE("store: five are kept; a corrupt one is never deleted; making room keeps two") {
  OpenedStore at;
  for (int i = 0; i < 3; ++i) REQUIRE(at.save("1"));
  const UniqueFd fd(::open(at.path(1).c_str(), O_WRONLY));
  REQUIRE(::ftruncate(fd.get(), 5000) == 0);
  for (int i = 0; i < 5; ++i) REQUIRE(at.save("1"));
  CHECK(at.store->count() == 5);
  CHECK(at.names().size() == 6);
  CHECK(read_file(at.path(1) + ".corrupt"));
  CHECK(at.store->rejected().size() == 1);
  REQUIRE(at.wait<Status>([&](auto done) { at.store->shrink(1, done); }));
  CHECK(at.store->count() == 4);  // no more than is needed
  CHECK_FALSE(read_file(at.path(4)));
  REQUIRE(at.wait<Status>([&](auto done) { at.store->shrink(1 << 20, done); }));
  CHECK(at.store->count() == 2);
  CHECK(read_file(at.path(8)));
  CHECK(read_file(at.path(7)));
}

TEST_CASE("store: older ones thin out, also those that an earlier process committed") {
  OpenedStore at;
  const auto save_of = [&](std::chrono::minutes age) {
    SnapshotEnvelope head = at.head();
    head.created_at = wall_now() - age;
    const auto draft = at.wait<Result<Store::Draft>>([&](auto done) { at.store->begin(head, done); });
    REQUIRE(draft);
    REQUIRE(at.write(*draft, "1"));
    REQUIRE(at.commit(*draft));
  };
  // Four days, each with three within one hour.
  for (int day = 4; day > 0; --day) {
    for (int i = 0; i < 3; ++i) save_of(std::chrono::minutes(day * 24 * 60));
  }
  at.reopen();
  for (int i = 0; i < 6; ++i) save_of(std::chrono::minutes(0));
  // The first of each of the four days; the newest five, and one of this minute, this hour or this day more.
  CHECK(at.store->count() >= 4 + 5);
  CHECK(at.store->count() <= 4 + 6);
  for (const std::uint64_t sequence : {1, 4, 7, 10}) CHECK(read_file(at.path(sequence)));
  for (const std::uint64_t sequence : {2, 3, 5, 6, 8, 9}) CHECK_FALSE(read_file(at.path(sequence)));
}

TEST_CASE("store: listing and reading") {
  OpenedStore at;
  const std::string large = "[" + std::string(600'000, ' ') + "1]";
  REQUIRE(at.save("1"));
  REQUIRE(at.save(large));
  REQUIRE(at.save("3"));
  const auto list = [&](std::size_t offset, std::size_t limit) {
    return at.wait<Result<Store::Page>>([&](auto done) { at.store->list(offset, limit, done); });
  };
  const auto page = list(1, 1);
  REQUIRE(page);
  CHECK(page->total == 3);
  REQUIRE(page->envelopes.size() == 1);
  CHECK(page->envelopes[0].sequence == 2);
  CHECK(page->envelopes[0].length == large.size());
  CHECK(list(7, 7)->envelopes.empty());
  const auto read = [&](std::uint64_t sequence) {
    return at.wait<Result<Store::Detail>>([&](auto done) { at.store->read(sequence, done); });
  };
  CHECK(read(3)->state == "3");
  CHECK_FALSE(read(2)->state);
  CHECK(read(2)->path == at.path(2));
  CHECK(read(9).error().code == ENOENT);
}

TEST_CASE("store: the newest changes at the commit and not before") {
  OpenedStore at;
  const auto draft = at.begin();
  REQUIRE(at.write(*draft, "1"));
  CHECK_FALSE(at.store->newest());
  CHECK(at.store->count() == 0);
  CHECK(at.names().size() == 1);
  CHECK_FALSE(parse_snapshot_name(at.names()[0]));
  REQUIRE(at.commit(*draft));
  CHECK(at.store->newest()->sequence == 1);
  CHECK_FALSE(at.commit(*draft));
  CHECK_FALSE(at.write(*draft, "2"));
}

TEST_CASE("store: a reader's link survives the rename and the pruning") {
  OpenedStore at;
  const auto draft = at.begin();
  const auto link = [&] {
    return at.wait<Result<StateFile>>([&](auto done) { at.store->link_for_restore(*draft, done); });
  };
  CHECK_FALSE(link());  // nothing to read yet
  REQUIRE(at.write(*draft, R"("first")"));
  const auto file = link();
  REQUIRE(file);
  REQUIRE(at.commit(*draft));
  for (int i = 0; i < 6; ++i) REQUIRE(at.save("1"));
  CHECK_FALSE(read_file(at.path(1)));
  CHECK(read_file(file->path)->substr(file->offset, file->length) == R"("first")");
  at.store->drop_link(*file);
  at.store->drop_link({at.path(7), 0, 0});
  at.loop.run();
  CHECK_FALSE(read_file(file->path));
  CHECK(read_file(at.path(7)));
}

TEST_CASE("store: several drafts at once end well in any order") {
  OpenedStore at;
  int committed = 0;
  for (int i = 0; i < 12; ++i) {
    at.store->begin(at.head(), [&](Result<Store::Draft> draft) {
      REQUIRE(draft);
      at.store->write(*draft, "[" + std::to_string(draft->sequence) + "]", [&, draft](Status written) {
        REQUIRE(written);
        at.store->commit(*draft, [&](Result<Store::Committed> done) { committed += done.has_value(); });
      });
    });
  }
  at.loop.run();
  CHECK(committed == 12);
  CHECK(at.store->newest()->sequence == 12);
  CHECK(at.search().found->state == "[12]");
  CHECK(at.store->count() == at.names().size());
}

TEST_CASE("store: destroyed while a commit is in flight, the commit ends and nobody is called") {
  OpenedStore at;
  auto draft = at.begin();
  REQUIRE(at.write(*draft, "1"));
  bool called = false;
  at.store->commit(*draft, [&](Result<Store::Committed>) { called = true; });
  at.store.reset();
  draft = fail("");
  at.loop.run();
  CHECK_FALSE(called);
  CHECK(at.names() == std::vector{snapshot_name(1)});
}

TEST_CASE("store: destroyed with drafts under way, no temporary file stays") {
  OpenedStore at;
  auto draft = at.begin();
  at.store->begin(at.head(), [](Result<Store::Draft>) {});
  at.store.reset();
  at.loop.run();
  draft = fail("");
  at.loop.run();
  CHECK(at.names().empty());
}

TEST_CASE("store: a callback may destroy the store") {
  OpenedStore at;
  const auto draft = at.begin();
  REQUIRE(at.write(*draft, "1"));
  at.store->commit(*draft, [&](Result<Store::Committed> done) {
    CHECK(done);
    at.store.reset();
  });
  at.loop.run();
  CHECK_FALSE(at.store);
}

TEST_CASE("store: a removed or replaced folder is an error, and opening again mends it") {
  OpenedStore at;
  REQUIRE(at.save("1"));
  const auto draft = at.begin();
  REQUIRE(at.write(*draft, "2"));
  std::filesystem::remove_all(at.snapshots());
  CHECK(at.commit(*draft).error().code == ENOENT);
  CHECK(at.begin().error().code == ENOENT);
  REQUIRE(::mkdir(at.snapshots().c_str(), 0700) == 0);
  CHECK(at.begin().error().code == ESTALE);
  REQUIRE(at.open());
  CHECK(at.store->count() == 0);
  CHECK_FALSE(at.store->newest());
  CHECK(at.save("3")->sequence == 5);
}

TEST_CASE("store: a name that is taken is not replaced") {
  OpenedStore at;
  const auto draft = at.begin();
  REQUIRE(at.write(*draft, "1"));
  REQUIRE(write_file_atomically(at.path(1), "somebody's"));
  CHECK(at.commit(*draft).error().code == EEXIST);
  CHECK(*read_file(at.path(1)) == "somebody's");
  CHECK(at.names().size() == 1);
}

}  // namespace zeroth
