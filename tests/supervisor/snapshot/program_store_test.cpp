#include "supervisor/snapshot/program_store.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>

#include "common/files.h"
#include "common/hash.h"
#include "tests/support/temp_dir.h"

namespace zeroth {

TEST_CASE("program store: what was kept is found by its hash") {
  const TempDir folder;
  const ProgramStore store(folder.path());
  const auto kept = store.keep("0", ".zero");
  REQUIRE(kept);
  CHECK(kept->hash == xxh3_hex("0"));
  CHECK(kept->path == folder.path() + "/programs/" + kept->hash + ".zero");
  CHECK(*read_file(kept->path) == "0");
  CHECK(store.find(kept->hash)->path == kept->path);
  CHECK(store.keep("1", ".z")->path.ends_with(".z"));
}

TEST_CASE("program store: keeping the same again leaves the file alone") {
  const TempDir folder;
  const ProgramStore store(folder.path());
  struct stat first {
  }, second{};
  REQUIRE(::stat(store.keep("0", ".zero")->path.c_str(), &first) == 0);
  REQUIRE(::stat(store.keep("0", ".zero")->path.c_str(), &second) == 0);
  CHECK(first.st_ino == second.st_ino);
}

TEST_CASE("program store: only a copy just written is left to be synced") {
  const TempDir folder;
  const ProgramStore store(folder.path());
  const auto first = store.keep("0", ".zero");
  CHECK(first->written);
  CHECK(store.sync(*first));
  CHECK_FALSE(store.keep("0", ".zero")->written);
  CHECK(store.find(first->hash));
  const KeptProgram away{folder.path() + "/programs/away.zero", "", nullptr, true};
  CHECK(store.sync(away).error().code == ENOENT);
}

TEST_CASE("program store: an altered copy is not handed out, and keeping again repairs it") {
  const TempDir folder;
  const ProgramStore store(folder.path());
  const auto kept = store.keep("0", ".zero");
  REQUIRE(write_file_atomically(kept->path, "1"));
  CHECK(store.find(kept->hash).error().code == EBADMSG);
  REQUIRE(store.keep("0", ".zero"));
  CHECK(store.find(kept->hash));
}

TEST_CASE("program store: what is to be run again is there again, also when all of it was taken away or altered") {
  const TempDir folder;
  const ProgramStore store(folder.path());
  const auto kept = store.keep("0", ".zero");
  REQUIRE(kept);
  CHECK_FALSE(store.ensure(*kept)->written);
  std::filesystem::remove_all(folder.path() + "/programs");
  CHECK(store.ensure(*kept)->written);
  CHECK(*store.find(kept->hash)->bytes == "0");
  REQUIRE(write_file_atomically(kept->path, "1"));
  CHECK(store.ensure(*kept)->written);
  CHECK(*read_file(kept->path) == "0");
}

TEST_CASE("program store: nothing kept, no hash, no program suffix") {
  const TempDir folder;
  const ProgramStore store(folder.path());
  CHECK(store.find(std::string(32, 'a')).error().code == ENOENT);
  CHECK(store.find("../../etc/passwd").error().code == EINVAL);
  CHECK(store.keep("0", ".sh").error().code == EINVAL);
}

}  // namespace zeroth
