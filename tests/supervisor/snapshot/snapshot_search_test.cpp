#include "supervisor/snapshot/snapshot_search.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "tests/supervisor/snapshot/store_fixture.h"

namespace zeroth {

TEST_CASE("search: a state with line feeds does not go into a message") {
  OpenedStore at;
  REQUIRE(at.save("[\n1\n]"));
  const SearchResult result = at.search();
  REQUIRE(result.found);
  CHECK(result.found->state.empty());
  REQUIRE(result.found->file);
  CHECK(result.found->file->length == 5);
}

TEST_CASE("search: the newest whose schema the code takes, the others are left as they are") {
  OpenedStore at;
  REQUIRE(at.save("1"));
  REQUIRE(at.save("2"));
  REQUIRE(at.save("3", "test/2"));
  SearchOptions options;
  CHECK(at.search(options).found->envelope.schema == "test/2");
  options.takes = SchemaRule{"test/1", {}};
  const SearchResult result = at.search(options);
  REQUIRE(result.found);
  CHECK(result.found->state == "2");
  REQUIRE(result.skipped.size() == 1);
  CHECK(result.skipped[0].reason == SkipReason::Schema);
  CHECK(result.skipped[0].message == "the state has schema test/2, the code has test/1 and announced no migration");
  CHECK(at.store->rejected().empty());
  options.takes = SchemaRule{"test/1", {true, {}}};
  CHECK(at.search(options).found->state == "3");
  for (int look = 0; look < 2; ++look) {  // also as their headers say
    CHECK(at.store->newest_of({"test/1", {}}) == 2);
    CHECK(at.store->newest_of({"test/2", {}}) == 3);
    CHECK_FALSE(at.store->newest_of({"test/3", {}}));
    at.reopen();
  }
}

TEST_CASE("store: a schema for which the begun header has no room fails the write") {
  OpenedStore at;
  auto draft = at.begin();
  REQUIRE(draft);
  const Status written = at.write(*draft, "1", std::string(5'000, 's'));
  REQUIRE_FALSE(written);
  CHECK(written.error().message.find("no room for the schema's name") != std::string::npos);
  CHECK(at.names().empty());
}

TEST_CASE("search: a corrupt snapshot is set aside, named, and the one before is used") {
  OpenedStore at;
  REQUIRE(at.save("1"));
  REQUIRE(at.save("2"));
  at.damage(2);
  const SearchResult result = at.search();
  REQUIRE(result.found);
  CHECK(result.found->state == "1");
  REQUIRE(result.skipped.size() == 1);
  CHECK(result.skipped[0].reason == SkipReason::Corrupt);
  REQUIRE(at.store->rejected().size() == 1);
  CHECK(at.store->rejected()[0].file == snapshot_name(2) + ".corrupt");
  CHECK(at.store->rejected()[0].reason == "checksum differs");
  CHECK(at.store->count() == 1);
  CHECK(at.store->newest()->sequence == 1);
  at.reopen();
  CHECK(at.store->rejected().size() == 1);
  CHECK(at.store->next_sequence() == 3);
}

TEST_CASE("search: a file of another user is set aside where it lies, and the one before is used") {
  if (!is_root("a file of another user")) return;
  OpenedStore at;
  REQUIRE(at.save("1"));
  REQUIRE(at.save("2"));
  REQUIRE(::chown(at.path(2).c_str(), 65'534, 65'534) == 0);
  at.reopen();
  const SearchResult result = at.search();
  REQUIRE(result.found);
  CHECK(result.found->state == "1");
  REQUIRE(result.skipped.size() == 1);
  CHECK(result.skipped[0].reason == SkipReason::Owner);
  REQUIRE(at.store->rejected().size() == 1);
  CHECK(at.store->rejected()[0].file == snapshot_name(2));
  CHECK(at.store->rejected()[0].reason.find("user 65534") != std::string::npos);
  CHECK(at.search().skipped.empty());
  CHECK(std::filesystem::exists(at.path(2)));
  CHECK(at.store->next_sequence() == 3);
}

TEST_CASE("search: a snapshot under another's name is corrupt") {
  OpenedStore at;
  REQUIRE(at.save("1"));
  std::filesystem::rename(at.path(1), at.path(5));
  at.reopen();
  CHECK_FALSE(at.search().found);
  CHECK(at.names() == std::vector{snapshot_name(5) + ".corrupt"});
}

TEST_CASE("search: a FIFO under a snapshot's name blocks nothing") {
  OpenedStore at;
  REQUIRE(at.save("1"));
  REQUIRE(::mkfifo(at.path(2).c_str(), 0600) == 0);
  at.reopen();
  CHECK(at.search().found->state == "1");
}

TEST_CASE("search: a newer version is passed over and never touched, not even by pruning") {
  OpenedStore at;
  const std::string newer = R"({"format":"zeroth-snapshot","version":2,"length":"0")" + std::string(5000, ' ');
  REQUIRE(write_file_atomically(at.path(1), newer));
  at.reopen();
  const SearchResult result = at.search();
  CHECK_FALSE(result.found);
  REQUIRE(result.skipped.size() == 1);
  CHECK(result.skipped[0].reason == SkipReason::Newer);
  for (int i = 0; i < 8; ++i) REQUIRE(at.save("1"));
  CHECK(*read_file(at.path(1)) == newer);
  CHECK(at.names().size() == 6);
}

TEST_CASE("search: another identity is refused, and taken when it is to be adopted") {
  OpenedStore at("/srv/a.zero");
  REQUIRE(at.save("1"));
  at.identity = "/srv/moved.zero";
  at.reopen();
  const SearchResult refused = at.search();
  CHECK_FALSE(refused.found);
  REQUIRE(refused.skipped.size() == 1);
  CHECK(refused.skipped[0].reason == SkipReason::Foreign);
  CHECK(refused.skipped[0].message == "belongs to /srv/a.zero");
  SearchOptions adopt;
  adopt.adopt = true;
  CHECK(at.search(adopt).found);
}

TEST_CASE("search: a snapshot older than allowed ends the search") {
  OpenedStore at;
  REQUIRE(at.save("1"));
  REQUIRE(at.save("2"));
  SearchOptions options;
  options.max_age = Milliseconds(30'000);
  options.now = at.head().created_at + Milliseconds(30'000);
  CHECK(at.search(options).found);
  options.now += Milliseconds(1);
  const SearchResult result = at.search(options);
  CHECK_FALSE(result.found);
  REQUIRE(result.skipped.size() == 1);
  CHECK(result.skipped[0].reason == SkipReason::TooOld);
}

TEST_CASE("search: only below a given sequence") {
  OpenedStore at;
  REQUIRE(at.save("1"));
  REQUIRE(at.save("2"));
  SearchOptions options;
  options.before = 2;
  CHECK(at.search(options).found->state == "1");
}

TEST_CASE("search: a quarantined snapshot stays on disk but is never restored, also after a restart") {
  OpenedStore at;
  REQUIRE(at.save("1"));
  REQUIRE(at.save("2"));
  REQUIRE(at.wait<Status>([&](auto done) { at.store->quarantine(2, "refused twice", done); }));
  CHECK_FALSE(at.store->newest());
  CHECK(at.store->rejected().size() == 1);
  at.reopen();
  const SearchResult result = at.search();
  CHECK(result.found->state == "1");
  REQUIRE(at.store->rejected().size() == 1);
  CHECK(at.store->rejected()[0].reason == "refused twice");
  REQUIRE(result.skipped.size() == 1);
  CHECK(result.skipped[0].message == "refused twice");
  CHECK(at.store->count() == 2);
  CHECK(read_file(at.path(2)));
}

TEST_CASE("search: a quarantine that cannot be understood is set aside and named") {
  OpenedStore at;
  REQUIRE(write_file_atomically(at.worker + "/quarantine.json", "{"));
  at.reopen();
  REQUIRE(at.store->rejected().size() == 1);
  CHECK(at.store->rejected()[0].file == "quarantine.json");
  CHECK(read_file(at.worker + "/quarantine.json.corrupt"));
}

}  // namespace zeroth
