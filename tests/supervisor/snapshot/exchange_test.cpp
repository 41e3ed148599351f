// Snapshots leave one store as a file and come into another.

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cerrno>

#include "supervisor/snapshot/snapshot_exchange.h"
#include "tests/supervisor/snapshot/store_fixture.h"

namespace zeroth {
namespace {

struct Exchange : OpenedStore {
  using OpenedStore::OpenedStore;

  Result<std::uint64_t> export_to(std::uint64_t sequence, const std::string& path) {
    return wait<Result<std::uint64_t>>([&](auto done) { store->export_file(sequence, path, done); });
  }
  Result<SnapshotEnvelope> import_from(const std::string& path) {
    return wait<Result<SnapshotEnvelope>>([&](auto done) { store->import_file(path, "b", done); });
  }
  Result<Json> diff(std::uint64_t a, std::uint64_t b) {
    return wait<Result<Json>>([&](auto done) { store->diff(a, b, done); });
  }
  std::string file(const std::string& name) const { return folder.path() + "/" + name; }
  // Nothing but what it had before.
  bool untouched(std::size_t count) const { return store->count() == count && names().size() == count; }
};

}  // namespace

TEST_CASE("export: a copy, byte for byte, 0600 and never over anything") {
  Exchange at;
  REQUIRE(at.save(R"({"n":1})"));
  const auto bytes = at.export_to(1, at.file("out.json"));
  REQUIRE(bytes);
  CHECK(*bytes == std::filesystem::file_size(at.path(1)));
  CHECK(*read_file(at.file("out.json")) == *read_file(at.path(1)));
  struct stat info {};
  REQUIRE(::stat(at.file("out.json").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  CHECK(at.export_to(1, at.file("out.json")).error().code == EEXIST);
  std::filesystem::create_symlink(at.file("nowhere"), at.file("link"));
  CHECK(at.export_to(1, at.file("link")).error().code == EEXIST);
  CHECK_FALSE(std::filesystem::exists(at.file("nowhere")));
  std::size_t left = 0;
  for (const auto& entry : std::filesystem::directory_iterator(at.folder.path())) left += entry.is_regular_file();
  CHECK(left == 1);
}

TEST_CASE("export: what cannot be done says why and leaves nothing") {
  Exchange at;
  REQUIRE(at.save("1"));
  CHECK(at.export_to(9, at.file("out")).error().code == ENOENT);
  CHECK(at.export_to(1, at.file("no/such/out")).error().code == ENOTDIR);
  for (const std::string path : {"", "out", "./out", "/", "/tmp/", "/tmp/..", "/tmp/."}) {
    CAPTURE(path);
    CHECK_FALSE(at.export_to(1, path));
  }
  CHECK_FALSE(at.export_to(1, at.file(std::string("a\0b", 3))));
  at.damage(1);
  CHECK(at.export_to(1, at.file("out")).error().message.find("checksum") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(at.file("out")));
}

TEST_CASE("import: the next sequence, pinned, ours, and still saying what it was") {
  Exchange from, at("/srv/b.zero");
  REQUIRE(from.save(R"({"n":1})"));
  REQUIRE(from.export_to(1, from.file("out")));
  REQUIRE(at.save(R"({"n":2})"));
  const auto taken = at.import_from(from.file("out"));
  REQUIRE(taken);
  CHECK(taken->sequence == 2);
  at.reopen();
  CHECK(at.store->is_pinned(2));
  const auto detail = at.wait<Result<Store::Detail>>([&](auto done) { at.store->read(2, done); });
  REQUIRE(detail);
  CHECK(*detail->state == R"({"n":1})");
  const SnapshotEnvelope& envelope = detail->envelope;
  CHECK(envelope.identity == "/srv/b.zero");
  CHECK(envelope.worker == "b");
  CHECK(envelope.generation == 0);
  CHECK(envelope.cause == "manual");
  CHECK(envelope.schema == "test/1");
  CHECK(envelope.created_at == from.head().created_at);
  REQUIRE(envelope.imported);
  CHECK(envelope.imported->sequence == 1);
  CHECK(envelope.imported->generation == 3);
  CHECK(envelope.imported->identity == "/srv/a.zero");
}

TEST_CASE("import: nothing goes on from it but a search for it alone") {
  Exchange at;
  REQUIRE(at.save("[1]"));
  REQUIRE(at.export_to(1, at.file("out")));
  REQUIRE(at.save("[2]"));
  REQUIRE(at.import_from(at.file("out")));
  CHECK(at.store->newest()->sequence == 2);
  CHECK(at.search().found->envelope.sequence == 2);
  at.reopen();
  CHECK(at.search().found->envelope.sequence == 2);
  CHECK(at.store->newest()->sequence == 2);
  SearchOptions only;
  only.exactly = 3;
  const SearchResult result = at.search(only);
  REQUIRE(result.found);
  CHECK(result.found->state == "[1]");
  CHECK(at.store->newest()->sequence == 2);
  CHECK(at.search().skipped.empty());
  // Nor is it one of the two that always stay.
  REQUIRE(at.save("[3]"));
  REQUIRE(at.wait<Status>([&](auto done) { at.store->shrink(1 << 20, done); }));
  CHECK(at.store->count() == 3);
}

TEST_CASE("import: a large one too, without a trace of the search that passed it by") {
  Exchange at;
  REQUIRE(at.save("[" + std::string(200'000, ' ') + "1]"));
  REQUIRE(at.export_to(1, at.file("out")));
  REQUIRE(at.import_from(at.file("out")));
  const SearchResult result = at.search();
  REQUIRE(result.found);
  CHECK(result.found->envelope.sequence == 1);
  at.store->drop_link(*result.found->file);
  at.loop.run();
  CHECK(at.untouched(2));
  CHECK(at.diff(1, 2).value()["total"] == 0);
}

TEST_CASE("import: what is no snapshot, or not ours to trust, is refused and changes nothing") {
  Exchange at;
  REQUIRE(at.save("[1]"));
  REQUIRE(at.export_to(1, at.file("good")));
  const std::string good = *read_file(at.file("good"));
  const auto refused = [&](const std::string& path) {
    CAPTURE(path);
    const auto taken = at.import_from(path);
    CHECK_FALSE(taken);
    CHECK(at.untouched(1));
    CHECK_FALSE(at.store->is_pinned(2));
    return taken ? Error() : taken.error();
  };
  const auto written = [&](const std::string& bytes) {
    std::filesystem::remove(at.file("bad"));
    REQUIRE(write_file_atomically(at.file("bad"), bytes));
    return refused(at.file("bad")).message;
  };
  std::string flipped = good;
  flipped[4097] = '2';
  CHECK(written(flipped).find("checksum differs") != std::string::npos);
  CHECK(written(good.substr(0, good.size() - 3)).find("size is") != std::string::npos);
  CHECK(written("").find("not a snapshot") != std::string::npos);
  CHECK(written("{\"hello\":1}\n").find("not a snapshot") != std::string::npos);
  std::string newer = good;
  newer.replace(newer.find("\"version\":1"), 11, "\"version\":7");
  CHECK(written(newer).find("version 7 is newer") != std::string::npos);
  CHECK(refused(at.file("absent")).code == ENOENT);
  CHECK_FALSE(refused("good").message.empty());
  std::filesystem::create_symlink(at.file("good"), at.file("link"));
  CHECK(refused(at.file("link")).message.find("symbolic link") != std::string::npos);
  REQUIRE(::mkfifo(at.file("fifo").c_str(), 0600) == 0);
  CHECK(refused(at.file("fifo")).message.find("not a regular file") != std::string::npos);
  refused(at.folder.path());
  refused("/dev/zero");
  if (is_root("a file of another user")) {
    REQUIRE(::chown(at.file("good").c_str(), 12345, 12345) == 0);
    CHECK(refused(at.file("good")).code == EPERM);
  }
}

TEST_CASE("import: a state that is no JSON is refused, however right its frame is") {
  Exchange at;
  REQUIRE(at.save("[1"));
  REQUIRE(at.export_to(1, at.file("out")));
  CHECK(at.import_from(at.file("out")).error().message.find("not JSON") != std::string::npos);
  CHECK(at.untouched(1));
}

TEST_CASE("store: only one diff, export or import at a time, and then the next") {
  Exchange at;
  REQUIRE(at.save("[1]"));
  REQUIRE(at.save("[2]"));
  std::vector<int> codes;
  const auto note = [&](const Result<Json>& found) { codes.push_back(found ? 0 : found.error().code); };
  at.store->diff(1, 2, note);
  at.store->diff(1, 2, note);
  at.store->export_file(1, at.file("out"), [&](const auto& done) { codes.push_back(done ? 0 : done.error().code); });
  at.loop.run();
  std::sort(codes.begin(), codes.end());
  CHECK(codes == std::vector<int>{0, EBUSY, EBUSY});
  const auto found = at.diff(1, 2);
  REQUIRE(found);
  CHECK((*found)["changed"] == Json::parse(R"({"/0":{"from":1,"to":2}})"));
  CHECK((*found)["a"]["sequence"] == 1);
  CHECK((*found)["b"]["generation"] == 3);
  CHECK(at.diff(1, 9).error().code == ENOENT);
}

}  // namespace zeroth
