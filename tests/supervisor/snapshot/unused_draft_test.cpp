// Drafts that a worker did not use.

#include <doctest/doctest.h>
#include <fcntl.h>

#include <filesystem>

#include "common/files.h"
#include "tests/supervisor/snapshot/store_fixture.h"

namespace zeroth {
TEST_CASE("store: a draft that nothing was written into is the next one, as if new") {
  OpenedStore at;
  REQUIRE(at.save("1"));
  auto unused = at.begin();
  REQUIRE(unused);
  const std::string path = unused->file.path;
  SUBCASE("its file is the same, empty again") {
    REQUIRE(write_all_at(UniqueFd(::open(path.c_str(), O_WRONLY | O_CLOEXEC)).get(), "rubbish that a worker left", 0));
    at.store->put_back(std::move(*unused));
    const auto again = at.begin();
    REQUIRE(again);
    CHECK(again->sequence == 2);
    CHECK(again->file.path == path);
    CHECK(std::filesystem::file_size(path) == 0);
    REQUIRE(at.write(*again, "22"));
    CHECK(at.commit(*again)->sequence == 2);
    CHECK(at.search().found->state == "22");
    CHECK(at.begin()->sequence == 3);
  }
  SUBCASE("its file was removed: another is made") {
    std::filesystem::remove(path);
    at.store->put_back(std::move(*unused));
    const auto again = at.begin();
    REQUIRE(again);
    CHECK(again->sequence == 2);
    REQUIRE(at.write(*again, "22"));
    CHECK(at.commit(*again)->sequence == 2);
  }
  SUBCASE("a newer one has been begun: order is by sequence") {
    REQUIRE(at.save("3"));
    at.store->put_back(std::move(*unused));
    at.loop.run();
    CHECK(at.names() == std::vector{snapshot_name(1), snapshot_name(3)});
    CHECK(at.save("4")->sequence == 4);
  }
  SUBCASE("a newer one is begun while it waits") {
    at.store->put_back(std::move(*unused));
    at.store->note_sequence(6);
    CHECK(at.save("7")->sequence == 7);
    CHECK(at.names() == std::vector{snapshot_name(1), snapshot_name(7)});
  }
  SUBCASE("it goes with the store") {
    at.store->put_back(std::move(*unused));
    at.reset();
    at.loop.run();
    CHECK(at.names() == std::vector{snapshot_name(1)});
  }
}

}  // namespace zeroth
