#include "supervisor/snapshot/generation_log.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>

#include "common/files.h"
#include "tests/supervisor/snapshot/store_fixture.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

GenerationLog open_log(const TempDir& folder) {
  auto log = GenerationLog::open(folder.path());
  REQUIRE(log);
  return std::move(*log);
}

void append_raw(const TempDir& folder, std::string_view bytes) {
  auto text = read_file(folder.path() + "/generations.jsonl");
  REQUIRE(write_file_atomically(folder.path() + "/generations.jsonl", (text ? *text : "") + std::string(bytes)));
}

}  // namespace

TEST_CASE("generation log: numbers, the live line and sequences survive the process") {
  const TempDir folder;
  {
    GenerationLog log = open_log(folder);
    CHECK(log.highest_generation() == 0);
    CHECK_FALSE(log.last_live());
    CHECK(log.next_generation() == 1);
    REQUIRE(log.spawned(1, "abc", "start")());
    REQUIRE(log.live({1, 4711, "zeroth-vm/1", "/srv/a.zero", "abc"})());
    CHECK(log.next_generation() == 2);
    REQUIRE(log.spawned(2, "def", "edit")());
    REQUIRE(log.receipt({{"operation", "reload"}, {"to", 2}, {"verdict", "rejected"}, {"sequence", 31}})());
    REQUIRE(log.sync_job()());
  }
  GenerationLog log = open_log(folder);
  CHECK(log.next_generation() == 3);
  CHECK(log.highest_sequence() == 31);
  REQUIRE(log.last_live());
  CHECK(log.last_live()->generation == 1);
  CHECK(log.last_live()->pid == 4711);
  CHECK(log.last_live()->schema == "zeroth-vm/1");
  CHECK(log.last_live()->identity == "/srv/a.zero");
  REQUIRE(log.receipts().size() == 1);
  CHECK(log.receipts()[0]["verdict"] == "rejected");
}

TEST_CASE("generation log: what a rollback put aside and holds back survives, until it is released") {
  const TempDir folder;
  const Json held = {{"hash", "new"}, {"since", "2026-01-31T10:02:11.123Z"}, {"generation", 1}};
  {
    GenerationLog log = open_log(folder);
    REQUIRE(log.live({1, 4711, "zeroth-vm/1", "/srv/a.zero", "old"})());
    REQUIRE(log.live({2, 4712, "zeroth-vm/1", "/srv/a.zero", "new"})());
    REQUIRE(log.live({3, 4713, "zeroth-vm/1", "/srv/a.zero", "old", true, {5, 20}, true, held})());
  }
  {
    GenerationLog log = open_log(folder);
    REQUIRE(log.last_live());
    CHECK(log.last_live()->held_back == held);
    CHECK(log.last_live()->anew);
    CHECK(log.last_live()->put_aside.contains(6));
    CHECK(log.last_live()->put_aside.contains(20));
    CHECK_FALSE(log.last_live()->put_aside.contains(5));
    CHECK_FALSE(log.last_live()->put_aside.contains(21));
    CHECK((log.programs() == std::map<std::uint64_t, std::string>{{1, "old"}, {2, "new"}, {3, "old"}}));
    REQUIRE(log.released()());
    CHECK(log.last_live()->held_back.is_null());
  }
  CHECK(open_log(folder).last_live()->held_back.is_null());
  CHECK(open_log(folder).last_live()->put_aside.to == 20);
  CHECK(open_log(folder).highest_sequence() >= 20);  // else what is saved next would count as put aside
}

TEST_CASE("generation log: a torn last line is passed over and does not swallow the next") {
  const TempDir folder;
  REQUIRE(open_log(folder).spawned(7, "abc", "start")());
  append_raw(folder, R"({"event":"spawned","generation":8)");
  {
    GenerationLog log = open_log(folder);
    CHECK(log.highest_generation() == 7);
    REQUIRE(log.spawned(log.next_generation(), "abc", "crash")());
    REQUIRE(log.spawned(log.next_generation(), "abc", "crash")());
  }
  CHECK(open_log(folder).highest_generation() == 9);
}

TEST_CASE("generation log: lines that are not ours are passed over") {
  const TempDir folder;
  append_raw(folder, "\n[1]\nnull\n{\"event\":7,\"generation\":\"x\"}\n{\"event\":\"live\"}\n\xff\xfe\n");
  GenerationLog log = open_log(folder);
  CHECK(log.next_generation() == 1);
}

TEST_CASE("generation log: unreadable lines are counted, a torn last one is not") {
  const TempDir folder;
  append_raw(folder, "{\"event\":\"spawned\",\"generation\":4}\n\n\xff\n[1]\n{\"event\":\"spawned\",\"gen");
  const GenerationLog log = open_log(folder);
  CHECK(log.unreadable_lines() == 2);
  CHECK(log.highest_generation() == 4);
}

TEST_CASE("generation log: lost, its numbers are learnt from what generations left behind") {
  const TempDir folder;
  std::uint64_t highest = 0;
  SUBCASE("the file of one that is alive, or was") {
    folder.write("alive-7", "");
    folder.write("alive-x", "");
    folder.write("alive-18446744073709551615", "");
    highest = 7;
  }
  SUBCASE("a state written in an emergency") {
    folder.write("emergency-12.json", "{}");
    highest = 12;
  }
  SUBCASE("one that was set aside") {
    folder.write("emergency-13.json.stale", "{}");
    highest = 13;
  }
  SUBCASE("one that was being written") {
    folder.write(".emergency-14.json.4711.tmp", "{}");
    highest = 14;
  }
  CHECK(open_log(folder).next_generation() == highest + 1);
}

TEST_CASE("generation log: lost, its numbers are learnt from the newest whole snapshot") {
  OpenedStore at;
  REQUIRE(at.save("1"));
  REQUIRE(at.save("2"));
  REQUIRE(write_file_atomically(at.path(9), "damaged"));
  auto log = GenerationLog::open(at.worker);
  REQUIRE(log);
  CHECK(log->highest_generation() == at.head().generation);
}

TEST_CASE("generation log: a number that no count can have come to is passed over") {
  const TempDir folder;
  append_raw(folder, "{\"event\":\"spawned\",\"generation\":9223372036854775807}\n");
  CHECK(open_log(folder).next_generation() == 1);
}

TEST_CASE("generation log: remade when it was removed, it holds what counts, and else it is left alone") {
  const TempDir folder;
  const std::string worker = folder.path("worker");
  auto log = GenerationLog::open(worker);
  REQUIRE(log);
  REQUIRE(log->live({3, 4711, "zeroth-vm/1", "/srv/a.zero", "abc", true, {5, 20}, true, nullptr})());
  const std::string before = read_file(worker + "/generations.jsonl").value_or("");
  REQUIRE(log->remake()());
  CHECK(read_file(worker + "/generations.jsonl").value_or("") == before);
  std::filesystem::remove_all(worker);
  REQUIRE(log->remake()());
  auto next = GenerationLog::open(worker);
  REQUIRE(next);
  REQUIRE(next->last_live());
  CHECK(next->last_live()->generation == 3);
  CHECK(next->last_live()->put_aside.to == 20);
}

TEST_CASE("generation log: removed while it is used, it is made again with what counts") {
  const TempDir folder;
  const std::string worker = folder.path("worker");
  auto log = GenerationLog::open(worker);
  REQUIRE(log);
  REQUIRE(log->live({6, 1, "s", "i", "abc"})());
  std::filesystem::remove_all(worker);
  REQUIRE(log->spawned(7, "abc", "edit")());
  const auto again = GenerationLog::open(worker);
  REQUIRE(again);
  CHECK(again->highest_generation() == 7);
  REQUIRE(again->last_live());
  CHECK(again->last_live()->generation == 6);
}

TEST_CASE("generation log: receipts come newest first, at most 1,000, and can be amended") {
  const TempDir folder;
  {
    GenerationLog log = open_log(folder);
    for (int to = 1; to <= 1'100; ++to) REQUIRE(log.receipt({{"to", to}, {"verdict", "ok"}})());
    REQUIRE(log.receipt({{"to", 1'099}, {"verdict", "rolled_back"}})());
    REQUIRE(log.receipt({{"to", nullptr}, {"operation", "stop"}})());
    REQUIRE(log.receipt({{"to", nullptr}, {"operation", "stop"}})());
  }
  const GenerationLog log = open_log(folder);
  REQUIRE(log.receipts().size() == 1'000);
  CHECK(log.receipts()[0]["operation"] == "stop");
  CHECK(log.receipts()[1]["operation"] == "stop");
  CHECK(log.receipts()[2]["to"] == 1'100);
  CHECK(log.receipts()[3]["verdict"] == "rolled_back");
  CHECK(log.highest_generation() == 1'100);
}

TEST_CASE("generation log: two files of 10 MB at most, and what counts is carried over") {
  const TempDir folder;
  {
    GenerationLog log = open_log(folder);
    REQUIRE(log.spawned(5, "abc", "start")());
    REQUIRE(log.live({5, 1, "s", "i", "abc"})());
    REQUIRE(log.receipt({{"to", 5}, {"sequence", 99}})());
    const std::string diagnostics(900'000, 'd');
    for (int i = 0; i < 30; ++i) REQUIRE(log.receipt({{"verdict", "rejected"}, {"reason", diagnostics}})());
  }
  struct stat newer {
  }, older{};
  const std::string path = folder.path() + "/generations.jsonl";
  REQUIRE(::stat(path.c_str(), &newer) == 0);
  REQUIRE(::stat((path + ".1").c_str(), &older) == 0);
  CHECK(newer.st_size <= 10'000'000);
  CHECK(older.st_size <= 10'000'000);
  CHECK(older.st_size > 9'000'000);
  const GenerationLog log = open_log(folder);
  CHECK(log.highest_generation() == 5);
  CHECK(log.highest_sequence() == 99);
  REQUIRE(log.last_live());
  CHECK(log.last_live()->generation == 5);
}

TEST_CASE("generation log: a symbolic link or a folder in its place is refused") {
  const TempDir folder;
  REQUIRE(make_folders(folder.path() + "/a/generations.jsonl"));
  CHECK_FALSE(GenerationLog::open(folder.path() + "/a"));
  REQUIRE(make_folders(folder.path() + "/b"));
  REQUIRE(::symlink("/dev/null", (folder.path() + "/b/generations.jsonl").c_str()) == 0);
  CHECK_FALSE(GenerationLog::open(folder.path() + "/b"));
}

}  // namespace zeroth
